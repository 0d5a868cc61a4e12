import pytest

from misc.data.paths import DataPaths, find_word_vectors
from misc.toy import glove
from misc.toy.glove import building, ensure_glove
from misc.words.word_vectors import WordVectors


def test_glove_is_written_under_the_given_root_without_the_toy_set(tmp_path, monkeypatch):
    monkeypatch.delenv("DSVE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)  # whose default data root stays as it is
    vectors = find_word_vectors("glove", DataPaths(tmp_path / "root"))
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"glove", ".glove.lock"}
    assert isinstance(vectors, WordVectors)
    assert (len(vectors.index), vectors.dimension) == (400_001, 50)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(glove, "write_glove", None)  # not written again
    assert ensure_glove(tmp_path / "root") == tmp_path / "root" / "glove"


def test_glove_of_a_toy_set_serves_too(toy_root):
    assert ensure_glove(toy_root) == toy_root / "toy" / "word_vectors"


def test_a_root_that_is_not_to_be_written_to_is_told_with_the_remedy(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", ".toy.lock")

    monkeypatch.setattr(glove, "locked_file", refuse)  # as root, tests may write anywhere
    refused = pytest.raises(OSError, match="the toy set cannot be made in .*--data-root or DSVE")
    with refused, building(tmp_path / "toy", "the toy set"):
        pass
