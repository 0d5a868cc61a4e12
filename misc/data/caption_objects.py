"""Rows of captions from JSON: objects with their captions, COCO's captions, Karpathy's splits."""

import functools
import json
import operator
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from misc.data.caption_rows import Row, columns, rows_of, text_of
from misc.data.entries import decoded, read_entries
from misc.data.json_files import read_json
from misc.runtime.failures import Failure, reason_of

NEITHER = "has neither COCO's captions nor Karpathy's splits, nor rows of captions"


def jsonl_rows(file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read an object a line."""
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        numbered = ((f"line {n}", line) for n, line in enumerate(lines, 1) if line.strip())
        yield from _object_rows(numbered, file, failures, _parsed)


def _parsed(line: str) -> object:
    decoded(line)
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _object_rows(
    objects: Iterable[tuple[str, Any]],
    file: Path,
    failures: list[Failure],
    parse: Callable[[Any], object] = lambda value: value,
) -> Iterator[Row]:
    """Read objects with an image and a caption, or several; each may have keys of its own."""

    def read(placed: tuple[str, Any]) -> list[Row]:
        place, values = placed[0], parse(placed[1])
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
        return rows_of(f"{file}, {place}", values, columns(list(values)))

    found = read_entries(objects, f"{file},", read, failures, operator.itemgetter(0))
    return _chained(found, file, failures)


def _chained(found: Iterable[list[Row]], file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Chain the rows of all entries; where not one can be read, the file is of another kind."""
    before, good = len(failures), 0
    for rows in found:
        good += 1
        yield from rows
    if not good and len(failures) > before:
        raise ValueError(f"{file} {NEITHER}: {failures[before].reason}")


def json_rows(file: Path, failures: list[Failure]) -> Iterator[Row]:
    """Read a list of objects, COCO's captions or Karpathy's splits.

    Raises:
        ValueError: if it is neither.
    """
    content = read_json(file, "it may be cut off, or not in UTF-8")
    if isinstance(content, list):
        placed = ((f"entry {index}", entry) for index, entry in enumerate(content))
        yield from _object_rows(placed, file, failures)
        return
    try:
        images = list(content["images"])
        annotations = list(content["annotations"]) if "annotations" in content else None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} {NEITHER}: {reason_of(error)}") from error
    if annotations is None:
        read = functools.partial(_karpathy_rows, file)
        found = read_entries(images, f"{file}, image", read, failures)
    else:
        names = dict(read_entries(images, f"{file}, image", _coco_name, failures))
        read = functools.partial(_coco_rows, file, names)
        found = read_entries(annotations, f"{file}, annotation", read, failures)
    yield from _chained(found, file, failures)


def _coco_name(entry: dict[str, Any]) -> tuple[str, str]:
    return text_of(entry["id"]), text_of(entry["file_name"])


def _coco_rows(file: Path, names: dict[str, str], entry: dict[str, Any]) -> list[Row]:
    image = names.get(text_of(entry["image_id"]))
    if image is None:
        raise ValueError(f"the file lists no image {entry['image_id']!r:.80}")
    return [Row(f"{file}, annotation {entry.get('id')}", image, text_of(entry["caption"]))]


def _karpathy_rows(file: Path, entry: dict[str, Any]) -> list[Row]:
    name = str(Path(entry.get("filepath") or "", entry["filename"]))
    split, place = text_of(entry.get("split")), f"{file}, image {name}"
    texts = [item.get("raw") if isinstance(item, dict) else None for item in entry["sentences"]]
    return [Row(place, name, text_of(text), split) for text in texts]
