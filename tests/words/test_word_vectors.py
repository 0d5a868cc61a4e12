import pickle

import numpy as np
import pytest
import torch

from misc.words.token_vectors import required
from misc.words.word_vectors import WordVectors
from tests.texts import batch_of

WORDS = ["UNK", "a", "dog", "Dog", "."]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dictionary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    np.save(tmp_path / "utable.npy", np.arange(15, dtype=np.float32).reshape(5, 3))
    return tmp_path


def test_rows_are_exact_first_and_keep_case(folder):
    vectors = WordVectors.load(folder)
    (found,) = required(vectors.vectors_of(["a dog Dog A."]))
    assert found.vectors[:, 0].tolist() == [3, 6, 9, 0, 12]
    assert found.unknown == ["A"]
    assert vectors.dimension == 3
    assert isinstance(vectors.table, np.memmap)


def test_lower_case_is_tried_only_where_the_table_has_nothing_else():
    vectors = WordVectors(["UNK", "a", "dog"], np.arange(3.0)[:, None])
    (found,) = required(vectors.vectors_of(["A DOG cat"]))
    assert found.vectors.tolist() == [[1], [2], [0]]
    assert found.unknown == ["cat"]


def test_texts_are_padded_with_zeros(folder):
    vectors = WordVectors.load(folder)
    batch, lengths = batch_of(vectors, "a dog", "dog")
    assert lengths.tolist() == [2, 1]
    assert batch.tolist() == [[[3, 4, 5], [6, 7, 8]], [[6, 7, 8], [0, 0, 0]]]
    assert batch.dtype == torch.float32


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_text_without_words_is_an_error_that_shows_it(folder, text):
    with pytest.raises(ValueError, match="at least one word, and '"):
        required(WordVectors.load(folder).vectors_of(["a dog", text]))


def test_a_table_that_does_not_match_its_dictionary_is_an_error_with_both_numbers(folder):
    np.save(folder / "utable.npy", np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match=r"5 words.*\(4, 3\)"):
        WordVectors.load(folder)


def test_a_dictionary_without_unk_is_an_error(folder):
    (folder / "dictionary.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(ValueError, match="none of the 5 words.*'UNK'"):
        WordVectors.load(folder)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dictionary.txt is missing; data/README.md"):
        WordVectors.load(tmp_path)


def test_a_pickled_or_empty_table_is_refused(folder):
    np.save(folder / "utable.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot read the word vectors"):
        WordVectors.load(folder)
    (folder / "utable.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read the word vectors"):
        WordVectors.load(folder)


def test_a_fingerprint_depends_on_words_their_order_and_the_numbers():
    table, names = np.arange(12, dtype=np.float32).reshape(4, 3), ["a", "b", "UNK", "c"]
    prints = {
        WordVectors(list(order), values).fingerprint()
        for order, values in [
            (names, table),
            (reversed(names), table),
            (names, table + 1),
            (names, table[:, :2]),
            (names, table * 0),
            (names, (table * 0).astype(np.int32)),
        ]
    }
    assert len(prints) == 6
    copied = WordVectors(names, np.asfortranarray(table)).fingerprint()
    assert copied in prints


def test_a_process_that_is_spawned_maps_the_table_anew(folder):
    vectors = WordVectors.load(folder)
    data = pickle.dumps(vectors)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert isinstance(again.table, np.memmap)
    assert again.fingerprint() == vectors.fingerprint()
    in_memory = WordVectors(list(vectors.index), np.array(vectors.table))
    assert pickle.loads(pickle.dumps(in_memory)).fingerprint() == vectors.fingerprint()


def test_words_that_are_there_twice_are_told(caplog):
    vectors = WordVectors(["a", "UNK", "a"], np.arange(6.0).reshape(3, 2))
    assert batch_of(vectors, "a")[0].tolist() == [[[4, 5]]]
    assert "1 words are there twice; the last counts" in caplog.text
