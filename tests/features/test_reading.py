import pytest

from misc.features.reading import load_embeddings
from misc.features.writing import save_embeddings
from tests.features.rows import READ_AGAIN, unit_rows


def test_a_pickle_is_not_read_as_it_could_run_code(tmp_path):
    save_embeddings(tmp_path / "a.pkl", ["x"], unit_rows(1, 4))
    with pytest.raises(ValueError, match=r"a\.pkl: embeddings are read from \.npz, \.npy, \.par"):
        load_embeddings(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_a_broken_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_embeddings(path, ["x", "y"], unit_rows(2, 4))
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"", b"hello\n" * 9):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"a{suffix} is no file of embeddings"):
            load_embeddings(path)


def test_names_that_do_not_fit_the_rows_are_counted(tmp_path):
    save_embeddings(tmp_path / "a.npy", ["x", "y"], unit_rows(2, 4))
    (tmp_path / "a.names.txt").write_text("x\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has 1 names, but embeddings of shape \(2, 4\)"):
        load_embeddings(tmp_path / "a.npy")
