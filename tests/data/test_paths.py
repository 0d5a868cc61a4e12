import logging

import pytest

from misc.data.paths import DataPaths, data_paths, find_word_vectors
from tests.words.encoders import save_encoder


def test_word_vectors_are_those_chosen_else_those_of_training_else_the_data_roots(
    toy_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))
    toy, elsewhere = data_paths(toy_root, "toy"), DataPaths(tmp_path)
    assert find_word_vectors("", toy, "/not/used").folder == toy.word_vectors
    assert find_word_vectors("glove", elsewhere).folder == toy.word_vectors
    assert find_word_vectors("", elsewhere, "glove").folder == toy.word_vectors
    other = DataPaths(tmp_path / "other")
    other.word_vectors.mkdir(parents=True)  # of another dimension, say
    assert find_word_vectors("", other, "glove").folder == toy.word_vectors
    assert find_word_vectors("", other, str(toy.word_vectors)).folder == toy.word_vectors
    assert find_word_vectors(str(toy.word_vectors), elsewhere).folder == toy.word_vectors
    with pytest.raises(FileNotFoundError, match="no word vectors"):
        find_word_vectors("", elsewhere)
    with pytest.raises(ValueError, match="needs word vectors of 620 dimensions.*have 50"):
        find_word_vectors("", toy, dimension=620)


def test_a_text_encoder_is_taken_as_word_vectors_are(tmp_path, caplog):
    folder, paths = str(save_encoder(tmp_path / "encoder")), DataPaths(tmp_path)
    chosen = find_word_vectors(folder, paths, dimension=8)
    with caplog.at_level(logging.WARNING):
        found = find_word_vectors("", paths, folder, 8, chosen.fingerprint())
        assert not caplog.records
        other = str(save_encoder(tmp_path / "other", seed=1))
        find_word_vectors(other, paths, folder, 8, chosen.fingerprint())
    assert f"{other} are not those that the model was trained with" in caplog.text
    assert found.folder == chosen.folder == tmp_path / "encoder"
    with pytest.raises(ValueError, match="needs word vectors of 50 dim.* have 8; .*--word-dim 8"):
        find_word_vectors(folder, paths, dimension=50)


def test_the_encoder_of_training_is_not_downloaded_unless_the_user_names_it(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="requirements-text.txt")
    asked = []

    def download(name, local_files_only, **options):
        asked.append(local_files_only)
        raise FileNotFoundError("nothing")

    monkeypatch.setattr("misc.runtime.hub.snapshot_download", download)
    for chosen, recorded in (("", "hf://user/name"), ("hf://user/name", "")):
        with pytest.raises(OSError, match="nothing"):
            find_word_vectors(chosen, DataPaths(tmp_path), recorded)
    assert asked == [True, False]
