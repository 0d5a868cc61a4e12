import json
import random
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from misc.features.reading import load_embeddings
from misc.features.writing import save_embeddings
from tests.features.rows import READ_AGAIN, unit_rows

LETTER = np.frombuffer(b"A", np.uint8)


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


def test_ordinary_lists_of_parquet_are_read_if_they_are_all_of_one_length(tmp_path):
    rows = unit_rows(3, 4)
    table = pyarrow.table({"name": ["a", "b", "c"], "embedding": rows.tolist()})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    names, read = load_embeddings(tmp_path / "a.parquet")
    assert names == ["a", "b", "c"]
    torch.testing.assert_close(read, rows)
    for odd in ([[1.0], [1.0, 2.0]], [[1.0], None]):
        table = pyarrow.table({"name": ["a", "b"], "embedding": odd})
        pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
        with pytest.raises(ValueError, match="b.parquet is no file of embeddings: .*of one length"):
            load_embeddings(tmp_path / "b.parquet")


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_numbers_that_are_not_finite_are_refused_with_their_row(tmp_path, suffix):
    rows = unit_rows(3, 4)
    rows[1, 2] = float("nan")
    save_embeddings(tmp_path / f"a{suffix}", ["a", "b", "c"], rows)
    with pytest.raises(ValueError, match="row 1, 'b', has numbers that are not finite"):
        load_embeddings(tmp_path / f"a{suffix}")


def test_an_archive_that_points_before_its_start_is_named(tmp_path):
    save_embeddings(tmp_path / "a.npz", ["x", "y"], unit_rows(2, 4))
    for place in range(len(data := (tmp_path / "a.npz").read_bytes()) - 120, len(data)):
        (tmp_path / "b.npz").write_bytes(data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :])
        try:
            load_embeddings(tmp_path / "b.npz")
        except ValueError as error:
            assert "b.npz" in str(error)  # noqa: PT017


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_a_mutated_file_is_read_or_one_value_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    save_embeddings(path, ["a", "b", "c"], unit_rows(3, 4))
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        try:
            load_embeddings(path)
        except ValueError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"name": ["a"], "embedding": ["x"]}, "is no file of embeddings"),
        ({"name": ["a"], "embedding": [["x", "y"]]}, "embeddings of object, which are no real"),
        ({"name": ["a", None], "embedding": [[1.0], [2.0]]}, "row 1 has no name"),
        ({"name": ["a"], "embedding": [[1.0, None]]}, "row 0, 'a', has numbers that are not"),
        ({"embedding": [[1.0]]}, "is no file of embeddings"),
    ],
)
def test_columns_that_are_not_names_and_rows_are_said_with_the_file(tmp_path, columns, complaint):
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"a.parquet.*{complaint}") as caught:
        load_embeddings(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"names": ["a"], "embeddings": [["x"]]}, "embeddings of <U1"),
        ({"names": ["a"], "embeddings": [[1j]]}, "embeddings of complex128"),
        ({"names": "ab", "embeddings": [[1.0], [2.0]]}, "1 names, but embeddings of shape"),
        (
            {
                "names_utf8": LETTER,
                "names_ends": [-1],
                "embeddings": [[1.0]],
            },
            "names_ends",
        ),
        (
            {"names_utf8": LETTER, "names_ends": [9], "embeddings": [[1.0]]},
            "names_ends",
        ),
    ],
)
def test_arrays_that_are_not_names_and_rows_are_said_with_the_file(tmp_path, arrays, complaint):
    columns: dict[str, Any] = {name: np.array(array) for name, array in arrays.items()}
    np.savez(tmp_path / "a.npz", **columns)
    with pytest.raises(ValueError, match=f"a.npz.*{complaint}"):
        load_embeddings(tmp_path / "a.npz")


def test_names_that_are_numbers_are_read_as_text(tmp_path):
    np.savez(tmp_path / "a.npz", names=np.array([7, 8]), embeddings=np.eye(2, dtype=np.float32))
    assert load_embeddings(tmp_path / "a.npz")[0] == ["7", "8"]


@pytest.mark.parametrize("change", ["{", "[]", {"parts": [{}]}, {"dimension": 9}])
def test_a_manifest_that_does_not_describe_the_parts_is_named(tmp_path, change):
    save_embeddings(tmp_path / "part-00000.parquet", ["a", "b"], unit_rows(2, 4))
    parts = {"dimension": 4, "rows": 2, "parts": [{"file": "part-00000.parquet", "rows": 2}]}
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(parts))
    assert load_embeddings(tmp_path)[0] == ["a", "b"]
    manifest.write_text(change if isinstance(change, str) else json.dumps({**parts, **change}))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        load_embeddings(tmp_path)
