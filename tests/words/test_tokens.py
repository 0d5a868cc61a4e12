from misc.words.tokens import tokenize


def test_sentences_are_split_before_words_so_no_word_keeps_its_period():
    text = "A man rides. The dog's here!"
    assert tokenize(text) == ["A", "man", "rides", ".", "The", "dog", "'s", "here", "!"]
    assert tokenize(text, first_sentence=True) == ["A", "man", "rides", "."]


def test_quotes_become_those_of_the_treebank():
    assert tokenize('a "stop" sign') == ["a", "``", "stop", "''", "sign"]
