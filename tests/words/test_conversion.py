import gzip

import gensim.models
import gensim.models.fasttext
import numpy as np
import pytest

from misc.words.__main__ import get_parser, main
from misc.words.conversion import convert, read_vectors
from misc.words.word_vectors import UNKNOWN, WordVectors

WORDS = ["the", "dog", "café"]
TABLE = np.array([[1.5, -2, 0], [0, 4, 1e-3], [3, 1, 2]], np.float32)


def keyed_vectors():
    vectors = gensim.models.KeyedVectors(3)
    vectors.add_vectors(WORDS, TABLE)
    return vectors


def write_glove(path):
    rows = (f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, TABLE, strict=True))
    path.write_text("".join(rows), encoding="utf-8")


def write_compressed(path):
    write_glove(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def write_word2vec(path):
    keyed_vectors().save_word2vec_format(path)


def write_word2vec_binary(path):
    keyed_vectors().save_word2vec_format(path, binary=True)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("glove.txt", write_glove),
        ("glove.txt.gz", write_compressed),
        ("word2vec.txt", write_word2vec),
        ("word2vec.bin", write_word2vec_binary),
    ],
)
def test_each_format_gives_the_same_table_with_a_row_for_unknown_words(tmp_path, name, write):
    write(tmp_path / name)
    parser = get_parser()
    main(parser.parse_args(["convert", str(tmp_path / name), str(tmp_path / "words")]))
    vectors = WordVectors.load(tmp_path / "words")
    assert list(vectors.index) == [*WORDS, UNKNOWN]
    assert vectors.table.dtype == np.float32
    np.testing.assert_allclose(vectors.table[:3], TABLE)
    np.testing.assert_allclose(vectors.table[3], TABLE.mean(axis=0), rtol=1e-6)


def test_binary_files_of_fasttext_are_recognised(tmp_path):
    sentences = [["the", "dog", "runs"], ["the", "cat", "sleeps"]] * 5
    model = gensim.models.FastText(
        sentences, vector_size=4, min_count=1, epochs=1, bucket=50, workers=1, seed=0
    )
    gensim.models.fasttext.save_facebook_model(model, str(tmp_path / "model.bin"))
    vectors = convert(tmp_path / "model.bin", tmp_path / "words")
    np.testing.assert_allclose(vectors.table[vectors.index["dog"]], model.wv["dog"], rtol=1e-5)


def test_a_row_for_unknown_words_that_is_there_is_kept(tmp_path):
    (tmp_path / "glove.txt").write_text("UNK 7 8\na 1 2\n", encoding="utf-8")
    vectors = convert(tmp_path / "glove.txt", tmp_path / "words")
    assert vectors.table[vectors.unknown].tolist() == [7, 8]
    assert len(vectors.table) == 2


def test_words_may_have_spaces(tmp_path):
    (tmp_path / "glove.txt").write_text("a 1 2\n. . 3 4\nat name@site.com 5 6\n", "utf-8")
    vectors = convert(tmp_path / "glove.txt", tmp_path / "words")
    assert list(vectors.index) == ["a", ". .", "at name@site.com", UNKNOWN]
    assert vectors.table[vectors.index[". ."]].tolist() == [3, 4]


def test_an_existing_pair_is_overwritten_only_by_force(tmp_path):
    write_glove(tmp_path / "glove.txt")
    convert(tmp_path / "glove.txt", tmp_path)
    with pytest.raises(FileExistsError, match="utable.npy exists; --force"):
        convert(tmp_path / "glove.txt", tmp_path)
    convert(tmp_path / "glove.txt", tmp_path, force=True)


GOOD = "".join(f"word{number} {number}.5 1e-3\n" for number in range(20))


@pytest.mark.parametrize(
    ("content", "words", "told"),
    [
        (GOOD + "cut 1.0", 20, "line 21: 2 fields are not a word and 2 numbers"),
        (GOOD + "more 1 2 3\n", 20, "line 21: 4 fields are not a word and 2 numbers"),
        (GOOD + "a 1 nan\n", 20, "line 21: the vector of 'a' is NaN or infinite"),
        (GOOD + "a 1 b\n", 20, "line 21: could not convert string to float: 'b'"),
        (GOOD + "word3 9 9\n", 20, "line 21: 'word3' was there before"),
        (GOOD.replace(" ", "\t"), 20, ""),
        (GOOD.replace(" ", "  "), 20, ""),
        ("\ufeff" + GOOD, 20, ""),
        ("\ufeff20 2\n" + GOOD, 20, ""),
        ("20 2\n" + GOOD + "word3 9 9\n", 20, "the first line says 20 words, and there are 21"),
        ("1 0.5 2\n" + GOOD, 21, ""),  # a word that is a number
    ],
)
def test_a_wrong_line_is_named_and_the_others_are_kept(tmp_path, caplog, content, words, told):
    (tmp_path / "vectors.txt").write_bytes(content.encode())
    vectors = convert(tmp_path / "vectors.txt", tmp_path / "words")
    assert len(vectors.index) == words + 1  # and UNK
    assert vectors.table[vectors.index["word3"]].tolist() == [3.5, np.float32(1e-3)]
    assert "word0" in vectors.index
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


def test_a_line_in_another_encoding_is_named(tmp_path, caplog):
    (tmp_path / "vectors.txt").write_bytes(GOOD.encode() + "café 1 2\n".encode("latin-1"))
    assert len(convert(tmp_path / "vectors.txt", tmp_path / "words").index) == 21
    assert "line 21: 'utf-8' codec can't decode byte 0xe9" in caplog.text


def test_a_file_that_ends_before_its_header_says_is_refused(tmp_path):
    (tmp_path / "vectors.txt").write_text("21 2\n" + GOOD, encoding="utf-8")
    with pytest.raises(ValueError, match="cut off: its first line says 21 words, and it has 20"):
        convert(tmp_path / "vectors.txt", tmp_path / "words")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"\xff\xd8\xff\xe0" * 9, b"a 1 2\nb 1\n", b"3 2\na 1 2\n", b"a nan\n"],
)
def test_what_is_no_file_of_word_vectors_is_named(tmp_path, content):
    (tmp_path / "photo.txt").write_bytes(content)
    with pytest.raises(ValueError, match="photo.txt"):
        convert(tmp_path / "photo.txt", tmp_path / "words")
    with pytest.raises(FileNotFoundError, match="no word vectors at .*absent"):
        convert(tmp_path / "absent.txt", tmp_path / "words")
    assert not (tmp_path / "words").exists()


def test_what_only_calls_itself_compressed_is_named(tmp_path):
    (tmp_path / "words.txt.gz").write_text("dog 1 2\ncat 3 4\n")
    with pytest.raises(ValueError, match=r"words\.txt\.gz cannot be read as word vectors"):
        read_vectors(tmp_path / "words.txt.gz")


def test_a_file_that_is_not_compressed_as_its_name_says_is_named(tmp_path):
    (tmp_path / "vectors.txt.gz").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ValueError, match=r"vectors.txt.gz cannot be read as word vectors"):
        convert(tmp_path / "vectors.txt.gz", tmp_path / "words")
