import os
import pickle
import pickletools

import numpy as np
import pyarrow.parquet
import pytest
import torch

from misc.features.reading import load_embeddings
from misc.features.writing import FORMATS, save_embeddings, writing
from tests.features.rows import READ_AGAIN, unit_rows


@pytest.mark.parametrize("suffix", READ_AGAIN)
@pytest.mark.parametrize("count", [0, 1, 3, 2500])
def test_names_and_rows_come_back_as_they_were(tmp_path, suffix, count):
    names = [f"photo {i} – ü漢.jpg" for i in range(count)]
    rows = unit_rows(count, 4)
    save_embeddings(tmp_path / f"a{suffix}", names, rows)
    read_names, read_rows = load_embeddings(tmp_path / f"a{suffix}")
    assert read_names == names
    assert read_rows.dtype == torch.float32
    assert torch.equal(read_rows, rows)


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_rows_that_come_in_pieces_are_the_same_file(tmp_path, suffix):
    rows = unit_rows(2500, 4)
    names = list(map(str, range(2500)))
    whole, pieces = tmp_path / f"whole{suffix}", tmp_path / f"pieces{suffix}"
    save_embeddings(whole, names, rows)
    with writing(pieces, 4) as writer:
        for start in range(0, 2500, 7):
            writer.append(names[start : start + 7], rows[start : start + 7])
    assert load_embeddings(pieces)[0] == names
    assert torch.equal(load_embeddings(pieces)[1], load_embeddings(whole)[1])


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_half_precision_halves_the_numbers_only(tmp_path, suffix):
    rows = unit_rows(1000, 64)
    sizes = {}
    for dtype in ("float32", "float16"):
        path = tmp_path / f"{dtype}{suffix}"
        save_embeddings(path, ["x"] * 1000, rows, dtype)
        sizes[dtype] = path.stat().st_size
    assert torch.equal(load_embeddings(path)[1], rows.half().float())
    assert sizes["float16"] < 0.6 * sizes["float32"]


def test_npz_and_npy_are_numpys_own_without_pickle(tmp_path):
    rows = unit_rows(3, 4)
    save_embeddings(tmp_path / "a.npz", ["x", "yy", "z"], rows)
    arrays = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert set(arrays) == {"names", "embeddings"}
    assert arrays["names"].tolist() == ["x", "yy", "z"]
    assert arrays["embeddings"].dtype == np.float32
    save_embeddings(tmp_path / "a.npy", ["x", "yy", "z"], rows)
    assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), rows.numpy())
    assert (tmp_path / "a.names.txt").read_text(encoding="utf-8") == "x\nyy\nz\n"


def test_parquet_has_a_list_of_fixed_size_for_each_name(tmp_path):
    save_embeddings(tmp_path / "a.parquet", ["x", "y"], unit_rows(2, 4))
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["name", "embedding"]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[4]"


def test_the_pickle_is_the_tuple_of_2018_and_needs_no_private_name_of_numpy(tmp_path):
    rows = unit_rows(3, 4)
    save_embeddings(tmp_path / "a.pkl", ["x", "y", "z"], rows)
    data = (tmp_path / "a.pkl").read_bytes()
    names, array = pickle.loads(data)
    assert names == ["x", "y", "z"]
    assert np.array_equal(array, rows.numpy())
    array *= 2  # it is writable, as the old one was
    strings = {argument for _, argument, _ in pickletools.genops(data)}
    assert "numpy" in strings
    assert not any("numpy." in str(string) for string in strings)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_existing_file_is_overwritten_only_by_force(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_embeddings(path, ["x"], unit_rows(1, 4))
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=f"a{suffix} exists; --force"):
        save_embeddings(path, ["x", "y"], unit_rows(2, 4))
    assert path.read_bytes() == before
    save_embeddings(path, ["x", "y"], unit_rows(2, 4), force=True)
    assert path.read_bytes() != before


def test_a_file_of_names_that_is_not_ours_is_kept_too(tmp_path):
    (tmp_path / "a.names.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="a.names.txt exists"):
        save_embeddings(tmp_path / "a.npy", ["x"], unit_rows(1, 4))


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, suffix):
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / f"a{suffix}", 4) as writer:
        writer.append(["x"], unit_rows(1, 4))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".npy", "a\nb"),
        (".npy", "a\rb"),
        (".npy", "\ud800.jpg"),
        (".npz", "a\0"),
        (".parquet", "caf\udce9.jpg"),
    ],
)
def test_a_name_that_the_format_cannot_hold_is_escaped_and_told(tmp_path, suffix, name, caplog):
    save_embeddings(tmp_path / f"a{suffix}", ["fine", name], unit_rows(2, 4))
    shown = name.encode("unicode_escape").decode()
    assert load_embeddings(tmp_path / f"a{suffix}")[0] == ["fine", shown]
    assert f"a{suffix}: 1 names are escaped" in caplog.text
    pickled = tmp_path / "a.pkl"
    save_embeddings(pickled, [name], unit_rows(1, 4))
    assert pickle.loads(pickled.read_bytes())[0] == [name]


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_folders_have_names_of_any_kind(tmp_path, suffix):
    folder = tmp_path / "caf\udce9"
    save_embeddings(folder / f"a{suffix}", ["x"], unit_rows(1, 4))
    assert load_embeddings(folder / f"a{suffix}")[0] == ["x"]


def test_one_long_name_does_not_make_all_of_them_wide(tmp_path):
    names = ["x" * 50_000, *(f"{number}\u00e9\udce9" for number in range(500))]
    save_embeddings(tmp_path / "a.npz", names, unit_rows(501, 4))
    assert (tmp_path / "a.npz").stat().st_size < 200_000
    assert load_embeddings(tmp_path / "a.npz")[0] == names
    save_embeddings(tmp_path / "b.npz", names[1:], unit_rows(500, 4))
    assert np.load(tmp_path / "b.npz")["names"].tolist() == names[1:]


def test_names_that_are_not_utf8_survive_beside_npy(tmp_path):
    save_embeddings(tmp_path / "a.npy", ["caf\udce9.jpg", "\u2028"], unit_rows(2, 4))
    assert load_embeddings(tmp_path / "a.npy")[0] == ["caf\udce9.jpg", "\u2028"]


def test_rows_without_a_name_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"1 names and embeddings \(2, 4\) do not correspond"):
        save_embeddings(tmp_path / "a.npz", ["x"], unit_rows(2, 4))


@pytest.mark.parametrize("name", ["a", "a.h5", "a.npz.bak"])
def test_another_suffix_is_an_error_that_lists_the_formats(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.npz, \.npy, \.parquet, \.pkl"):
        save_embeddings(tmp_path / name, ["x"], unit_rows(1, 4))


def test_the_rows_are_on_disk_and_not_in_memory_while_they_come(tmp_path):
    with writing(tmp_path / "a.npz", 1000) as writer:
        for _ in range(20):
            writer.append(["x"] * 10, torch.zeros(10, 1000))
        waiting = os.fstat(writer.rows.fileno()).st_size
    assert waiting > 0.9 * 20 * 10 * 1000 * 4
