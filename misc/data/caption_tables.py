"""Rows of captions: tables, JSON, or text files beside the images."""

import csv
import dataclasses
import functools
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from misc.data.image_files import find_images
from misc.runtime.failures import SHOWN, Failure, read_item

logger = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "filename", "file_name", "file", "path", "image_path", "filepath")
CAPTION_COLUMNS = ("caption", "text", "sentence", "captions", "raw", "title")


@dataclasses.dataclass(frozen=True)
class Row:
    """A caption and its image, as a file has them."""

    place: str  # where in the file, for messages
    image: str = ""
    caption: str = ""
    split: str = ""  # as written; "" if the file has none
    problem: str = ""  # why it cannot be used, if that is known already


def _file_rows(file: Path) -> Iterable[Row]:
    readers = {".jsonl": _jsonl_rows, ".csv": _table_rows, ".tsv": _table_rows, ".json": _json_rows}
    if not file.is_file():
        raise FileNotFoundError(f"no captions at {file}; --captions folder reads .txt files")
    if file.suffix.lower() not in readers:
        raise ValueError(f"{file}: captions are in .jsonl, .csv, .tsv or .json, or in a folder")
    try:
        yield from readers[file.suffix.lower()](file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8 ({error}); convert it") from error
    except csv.Error as error:
        raise ValueError(f"{file} is not a table ({error})") from error


def _table_rows(file: Path) -> Iterator[Row]:
    """Read a table; in a .tsv quotes are letters, in a .csv they hold a field together."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
        tabs = file.suffix.lower() == ".tsv"
        separator = "\t" if tabs else max(",;\t", key=header.count)
        rows = csv.reader(
            itertools.chain([header], lines),
            delimiter=separator,
            quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
            strict=True,
        )
        present = next(rows, [])
        names, joined = _columns(present, file), []
        while True:
            first = rows.line_num + 1
            try:
                fields = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                yield Row(f"{file}, line {first}", problem=f"{error}, in quotes from there on")
                continue
            place = f"{file}, line {first}"
            if rows.line_num > first and fields:
                joined.append(f"{first} to {rows.line_num}")
            if len(fields) > len(present):
                many = f"{len(fields)} fields, and there are {len(present)} columns"
                yield Row(place, problem=f"{many}; a field with a separator is to be in quotes")
            elif fields:
                values = dict(zip(present, fields, strict=False))
                yield from _rows(place, values, names)
    if joined:
        shown = ", ".join(joined[:SHOWN])
        logger.warning(
            "%s: %d rows have line breaks, lines %s; where none is meant, a quote is one too many",
            file,
            len(joined),
            shown,
        )


def _jsonl_rows(file: Path) -> Iterator[Row]:
    def entries() -> Iterator[tuple[str, object]]:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    place = f"{file}, line {number}"
                    item = read_item(number, place, functools.partial(json.loads, line))
                    yield place, None if isinstance(item, Failure) else item

    return _object_rows(entries(), file)


def _object_rows(entries: Iterable[tuple[str, object]], file: Path) -> Iterator[Row]:
    """Read objects with an image and a caption, or several; each may have keys of its own."""
    good, reason = 0, ""
    for place, values in entries:
        if not isinstance(values, dict):
            reason = reason or f"{file} has neither COCO's captions nor Karpathy's splits, nor rows"
            yield Row(place, problem="it is no JSON object")
            continue
        try:
            names = _columns(list(values), file)
        except ValueError as error:
            reason = reason or str(error)
            yield Row(place, problem=str(error).removeprefix(f"{file} "))
            continue
        good += 1
        yield from _rows(place, values, names)
    if reason and not good:
        raise ValueError(reason)


def _columns(present: Sequence[str], file: Path) -> dict[str, str]:
    """Find the columns of the image, the caption and the split, whatever their case.

    Raises:
        ValueError: if one of the first two is not there.
    """
    lower = {name.strip().lower(): name for name in present if name}
    found = {}
    for what, accepted in (("image", IMAGE_COLUMNS), ("caption", CAPTION_COLUMNS)):
        names = [lower[name] for name in accepted if name in lower]
        if not names:
            raise ValueError(
                f"{file} has no column for the {what}: it has {', '.join(present) or 'none'}, and "
                f"one of {', '.join(accepted)} is needed"
            )
        found[what] = names[0]
    return found | ({"split": lower["split"]} if "split" in lower else {})


def _rows(place: str, values: dict[str, Any], names: dict[str, str]) -> Iterator[Row]:
    """Make a row of each caption."""
    image, captions = _text(values.get(names["image"])), values.get(names["caption"])
    split = _text(values.get(names.get("split", ""), ""))
    for caption in captions if isinstance(captions, list) and captions else [captions]:
        yield Row(place, image, _text(caption), split)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # the number of an image
    return value.strip() if isinstance(value, str) else ""


def _json_rows(file: Path) -> Iterator[Row]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not valid JSON ({error})") from error
    if isinstance(content, list):
        entries = ((f"{file}, entry {index}", entry) for index, entry in enumerate(content))
        yield from _object_rows(entries, file)
        return
    try:
        coco = "annotations" in content
        listed = list(content["annotations"] if coco else content["images"])
        names = {entry["id"]: entry["file_name"] for entry in content["images"]} if coco else {}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} has neither COCO's captions nor Karpathy's splits: {error!r}"
        ) from error
    good, reason = 0, ""
    for index, entry in enumerate(listed):
        place = f"{file}, {'annotation' if coco else 'image'} {index}"
        read = functools.partial(_coco_rows if coco else _karpathy_rows, entry, file, names)
        rows = read_item(index, place, read)
        if isinstance(rows, Failure):
            reason = reason or rows.reason
            yield Row(place, problem=rows.reason.removeprefix(f"{place}: "))
        else:
            good += 1
            yield from rows
    if reason and not good:
        raise ValueError(f"{file} has neither COCO's captions nor Karpathy's splits: {reason}")


def _coco_rows(entry: dict[str, Any], file: Path, names: dict[Any, str]) -> list[Row]:
    image = _text(names.get(entry["image_id"]))
    return [Row(f"{file}, annotation {entry.get('id')}", image, _text(entry["caption"]))]


def _karpathy_rows(entry: dict[str, Any], file: Path, names: dict[Any, str]) -> list[Row]:
    name = str(Path(entry.get("filepath") or "", entry["filename"]))
    split, place = _text(entry.get("split")), f"{file}, image {name}"
    return [Row(place, name, _text(sentence["raw"]), split) for sentence in entry["sentences"]]


def _folder_rows(folder: Path) -> Iterator[Row]:
    for image in find_images([folder], recursive=True):
        text = image.with_suffix(".txt")
        name = image.relative_to(folder).as_posix()
        if not text.is_file():
            yield Row(f"{image} has no {text.name} beside it", name, "")
            continue
        try:
            lines = text.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            yield Row(f"{text} is not in UTF-8", name, "")
            continue
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield Row(f"{text}, line {number}", name, line.strip())
