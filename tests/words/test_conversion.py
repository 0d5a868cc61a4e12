import gzip

import gensim.models
import gensim.models.fasttext
import numpy as np
import pytest

from misc.words.__main__ import get_parser, main
from misc.words.conversion import convert
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
