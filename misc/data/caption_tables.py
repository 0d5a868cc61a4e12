"""Rows of captions: tables, lines of Flickr8k's kind, JSON, or text files beside the images."""

import csv
import itertools
import logging
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from misc.data.caption_objects import json_rows, jsonl_rows
from misc.data.caption_rows import Row, columns, rows_of
from misc.data.entries import decoded, read_entries
from misc.data.image_files import find_images
from misc.runtime.failures import SHOWN, Failure

logger = logging.getLogger(__name__)


def file_rows(file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read a file of captions; what is no row goes to ``failures``.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is of no kind that is known.
    """
    readers = {
        ".jsonl": jsonl_rows, ".json": json_rows, ".token": _token_rows,
        ".csv": _table_rows, ".tsv": _table_rows, ".txt": _table_rows,
    }  # fmt: skip
    suffix = file.with_suffix("").suffix if file.name.endswith(".token.txt") else file.suffix
    if not file.is_file():
        raise FileNotFoundError(f"no captions at {file}; --captions folder reads .txt files")
    if suffix.lower() not in readers:
        raise ValueError(f"{file}: captions are in {', '.join(readers)}, or in a folder")
    try:
        yield from readers[suffix.lower()](file, failures)
    except csv.Error as error:
        raise ValueError(f"{file} is not a table ({error})") from error


def _table_rows(file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read a table; in a .tsv quotes are letters, in a .csv they hold a field together."""
    tabs, joined = file.suffix.lower() == ".tsv", list[str]()
    hint = "" if tabs else "; a field with a separator or a line break is to be in quotes"
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        records = _records(lines, tabs)
        try:
            present = _fields(next(records, ("", [])))
            names = columns(present)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

        def read(record: Record) -> list[Row]:
            place, fields = record[0], _fields(record)
            if not fields:  # a blank line
                return []
            if len(fields) != len(present):
                many = f"{len(fields)} fields, and there are {len(present)} columns{hint}"
                image = dict(zip(present, fields, strict=False)).get(names["image"], "").strip()
                return [Row(f"{file}, {place}", image, fault=many)]
            if place.startswith("lines "):
                joined.append(place)
            return rows_of(f"{file}, {place}", dict(zip(present, fields, strict=True)), names)

        for rows in read_entries(records, f"{file},", read, failures, operator.itemgetter(0)):
            yield from rows
    if joined:
        logger.warning(
            "%s: %d rows have line breaks, %s; where none is meant, a quote is one too many",
            file,
            len(joined),
            ", ".join(joined[:SHOWN]),
        )


def _token_rows(file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read lines of an image, # and a number, a tab, and a caption, as Flickr8k has them."""

    def read(placed: tuple[str, str]) -> Row:
        place, line = placed
        name, tab, caption = decoded(line).partition("\t")
        image, mark, _ = name.rpartition("#")
        if not tab or not mark:
            raise ValueError("it is not an image with # and a number, a tab, and a caption")
        return Row(f"{file}, {place}", image.strip(), caption.strip())

    with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        placed = ((f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
        yield from read_entries(placed, f"{file},", read, failures, operator.itemgetter(0))


Record = tuple[str, list[str] | csv.Error]  # on which lines it is; its fields, or why it has none


def _records(lines: TextIO, tabs: bool) -> Iterator[Record]:
    """Give the records of a table; one that is broken does not end it."""
    header = lines.readline()
    rows = csv.reader(
        itertools.chain([header], lines),
        delimiter="\t" if tabs else max(",;\t|", key=header.count),
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    while True:
        first = rows.line_num + 1
        fields: list[str] | csv.Error
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fields = error
        last = rows.line_num
        yield f"line {first}" if last == first else f"lines {first} to {last}", fields


def _fields(record: Record) -> list[str]:
    fields = record[1]
    if isinstance(fields, csv.Error):
        raise csv.Error(f"{fields}, in quotes from there on") from fields
    return [decoded(field) for field in fields]


def folder_rows(folder: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read the text files beside the images of a folder; what is no row goes to ``failures``."""

    def read(image: Path) -> list[Row]:
        text, name = image.with_suffix(".txt"), image.relative_to(folder).as_posix()
        if not text.exists():
            raise ValueError(f"there is no {text.name} beside it")
        try:
            lines = text.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{text.name} is not in UTF-8") from error
        captions = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
        if not captions:
            raise ValueError(f"{text.name} is empty")
        return [Row(f"{text}, line {number}", name, caption) for number, caption in captions]

    for rows in read_entries(find_images([folder], True), "", read, failures, str):
        yield from rows
