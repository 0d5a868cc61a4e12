"""Tables as files, CSV or Parquet by suffix: written whole or not at all, and read row by row."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from misc.runtime.files import check_space, replacing

SUFFIXES = (".csv", ".parquet")
CHUNK = 10_000  # rows in memory at once
ROW_BYTES = 100  # of a row, at least about

Row = Mapping[str, str | int | float | bool | None]
Columns = Mapping[str, type]  # names, and str, int, float or bool


def check_table(path: Path, rows: int = 0) -> None:
    """Refuse, before any work, a file of so many rows that could not be written after it.

    Raises:
        ValueError: if the suffix is not one of ``SUFFIXES``.
        IsADirectoryError: if it is a folder.
        FullDiskError: if there is no space for it.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the suffix of a table is one of {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    check_space(path, path.parent, rows * ROW_BYTES)


def write_table(path: Path, columns: Columns, rows: Iterable[Row]) -> None:
    """Write rows as they come; what a text holds that is no UTF-8 is escaped.

    Raises:
        ValueError: if the suffix is not one of ``SUFFIXES``.
        FullDiskError: if there is no space for it; what was there before stays.
    """
    check_table(path)
    write = _write_csv if path.suffix == ".csv" else _write_parquet
    with replacing(path) as temporary:
        write(temporary, columns, rows)


def _chunks(columns: Columns, rows: Iterable[Row]) -> Iterator[dict[str, list[Any]]]:
    """Turn rows into columns, so many rows at a time."""
    each = iter(rows)
    while chunk := list(itertools.islice(each, CHUNK)):
        yield {name: [_held(row[name]) for row in chunk] for name in columns}


def _held(value: object) -> object:
    if isinstance(value, str):  # a path may have bytes that are no UTF-8
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _write_csv(path: Path, columns: Columns, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for chunk in _chunks(columns, rows):
            writer.writerows(zip(*chunk.values(), strict=True))


def _write_parquet(path: Path, columns: Columns, rows: Iterable[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {
        str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()
    }  # fmt: skip
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with path.open("wb") as opened, pyarrow.parquet.ParquetWriter(opened, schema) as file:
        for chunk in _chunks(columns, rows):
            file.write_table(pyarrow.table(chunk, schema=schema))


def read_table(path: Path) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Read the names of the columns, and then row by row; from a CSV all values are texts.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such table; the message names it.
    """
    check_table(path)
    if not path.is_file():
        raise FileNotFoundError(f"no table at {path}")
    rows = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    names = list(next(rows, {}))
    return names, rows


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    """Give the names of the columns as a first row, then the rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            yield dict.fromkeys(names)
            for line in lines:
                yield dict(zip(names, line, strict=False))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a table in UTF-8: {error}") from error


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with path.open("rb") as opened, pyarrow.parquet.ParquetFile(opened) as file:
            yield dict.fromkeys(file.schema_arrow.names)
            for batch in file.iter_batches(CHUNK):
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file that can be read: {error}") from error
