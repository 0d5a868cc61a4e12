import json

import numpy as np
import pytest
import torch

import text_features_extraction
from misc.features.reading import load_embeddings

WORDS = ["UNK", "a", "dog", "cat", "."]


@pytest.fixture(scope="module")
def word_vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "dictionary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    np.save(folder / "utable.npy", np.random.default_rng(0).normal(size=(5, 3)).astype("f4"))
    return folder


@pytest.fixture
def texts(miniature_checkpoint, word_vectors):
    def extract(*arguments):
        command = [
            "-p",
            miniature_checkpoint,
            "--word-vectors",
            word_vectors,
            "--device",
            "cpu",
            *arguments,
        ]
        args = text_features_extraction.get_parser().parse_args(list(map(str, command)))
        return text_features_extraction.main(args)

    return extract


def test_texts_have_a_row_each_and_blank_lines_a_reason(texts, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa dog.\r\n\r\na zebra\n   \na cat.\n".encode())
    results = texts("-d", file, "-o", tmp_path / "t.npz")
    names, rows = load_embeddings(tmp_path / "t.npz")
    assert names == ["a dog.", "a zebra", "a cat."]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    lines = (tmp_path / "t.npz.errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [1, 3]
    assert "line 2: a text needs at least one word" in lines[0]
    assert results["left_out"] == 2


def test_texts_in_batches_are_the_same_as_one_by_one(texts, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("a dog.\n\na cat. a dog and a cat.\n\n\ndog\ncat", encoding="utf-8")
    for size in (1, 3):
        texts("-d", file, "-o", tmp_path / f"{size}.npz", "-bs", size)
    one, three = load_embeddings(tmp_path / "1.npz"), load_embeddings(tmp_path / "3.npz")
    assert one[0] == three[0] == ["a dog.", "a cat. a dog and a cat.", "dog", "cat"]
    torch.testing.assert_close(one[1], three[1], rtol=0, atol=1e-6)


def test_only_the_first_sentence_counts_if_that_is_asked_for(texts, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("a dog. a cat.\na dog.\n", encoding="utf-8")
    texts("-d", file, "-o", tmp_path / "whole.npz")
    texts("-d", file, "-o", tmp_path / "first.npz", "--first-sentence")
    whole, first = (load_embeddings(tmp_path / f"{kind}.npz")[1] for kind in ("whole", "first"))
    torch.testing.assert_close(first[0], first[1])
    assert not torch.allclose(whole[0], whole[1], atol=1e-3)


def test_strict_names_the_line(texts, tmp_path):
    (tmp_path / "texts.txt").write_text("a dog\n\na cat\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        texts("-d", tmp_path / "texts.txt", "-o", tmp_path / "t.npz", "--strict")
    assert not (tmp_path / "t.npz").exists()


def test_a_line_in_another_encoding_is_left_out_and_named(texts, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("a dog\na café\n".encode("latin-1"))
    assert texts("-d", file, "-o", tmp_path / "t.npz")["left_out"] == 1
    assert load_embeddings(tmp_path / "t.npz")[0] == ["a dog"]
    reason = json.loads((tmp_path / "t.npz.errors.jsonl").read_text())["reason"]
    assert reason.startswith("line 2: it has bytes that are not in the encoding; --encoding names")
    with pytest.raises(ValueError, match="line 2 of .*texts.txt is not utf-16.*--encoding"):
        texts("-d", file, "-o", tmp_path / "t3.npz", "--encoding", "utf-16")
    texts("-d", file, "-o", tmp_path / "t.npz", "--encoding", "latin-1", "--force")
    assert load_embeddings(tmp_path / "t.npz")[0] == ["a dog", "a café"]
    with pytest.raises(ValueError, match="--encoding latin-0"):
        texts("-d", file, "-o", tmp_path / "t2.npz", "--encoding", "latin-0")


def test_word_vectors_of_another_dimension_are_an_error(texts, tmp_path):
    (tmp_path / "dictionary.txt").write_text("UNK\n", encoding="utf-8")
    np.save(tmp_path / "utable.npy", np.zeros((1, 7), np.float32))
    (tmp_path / "texts.txt").write_text("a dog\n", encoding="utf-8")
    with pytest.raises(ValueError, match="word vectors of 3 dimensions.* have 7"):
        texts("-d", tmp_path / "texts.txt", "-o", tmp_path / "t.npz", "--word-vectors", tmp_path)
