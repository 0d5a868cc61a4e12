import pytest

from misc.data.paths import DataPaths, data_paths, find_word_vectors


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
