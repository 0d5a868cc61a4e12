import csv
import subprocess
import sys
from typing import Any

import pyarrow.parquet
import pytest

from misc.runtime import tables
from misc.runtime.files import FullDiskError
from misc.runtime.tables import check_table, read_table, write_table

COLUMNS = {"name": str, "rank": int, "x": float, "hit": bool}
ROWS: list[dict[str, Any]] = [
    {"name": 'a "dog",\nЖ', "rank": 1, "x": 0.1, "hit": True},
    {"name": "", "rank": None, "x": 2.5, "hit": False},
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_written_is_read(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 1)
    path = tmp_path / f"new/table{suffix}"
    write_table(path, COLUMNS, iter(ROWS))
    names, rows = read_table(path)
    assert names == list(COLUMNS)
    texts = [
        {key: "" if value is None else str(value) for key, value in row.items()} for row in ROWS
    ]
    assert list(rows) == (texts if suffix == ".csv" else ROWS)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_others_read_both_formats(tmp_path):
    for suffix in (".csv", ".parquet"):
        write_table(tmp_path / f"table{suffix}", COLUMNS, ROWS)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["name"] == 'a "dog",\nЖ'
    assert pyarrow.parquet.read_table(tmp_path / "table.parquet").to_pylist() == ROWS


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_rows_are_a_table_and_names_that_are_no_utf_8_are_escaped(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write_table(path, COLUMNS, [])
    names, rows = read_table(path)
    assert (names, list(rows)) == (list(COLUMNS), [])
    write_table(path, {"name": str}, [{"name": "a\udcff"}])
    assert list(read_table(path)[1]) == [{"name": "a\\udcff"}]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_ends_in_the_middle_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write_table(path, COLUMNS, ROWS)
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_table(path, COLUMNS, [*ROWS, {"name": "cut"}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_cannot_be_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"the suffix of a table is one of \.csv, \.parquet"):
        check_table(tmp_path / "table.json")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        check_table(tmp_path / "folder.csv")
    with pytest.raises(FullDiskError, match="needs 100000000000 MB"):
        check_table(tmp_path / "table.csv", 10**15)
    with pytest.raises(FileNotFoundError, match="no table at"):
        read_table(tmp_path / "absent.csv")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_is_told(tmp_path, suffix):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from misc.runtime.tables import write_table\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "write_table(Path(sys.argv[1]), {'x': str}, ({'x': str(n) * 9} for n in range(30_000)))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / f"table{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "FullDiskError" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "content"), [(".csv", b"\xff\xfe"), (".parquet", b"none")])
def test_what_is_no_table_is_named(tmp_path, suffix, content):
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"table\.(csv|parquet) is not a"):
        list(read_table(path)[1])
