"""Rows of captions: tables, JSON, or text files beside the images."""

import csv
import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from misc.data.image_files import find_images

IMAGE_COLUMNS = ("image", "filename", "file_name", "file", "path", "image_path", "filepath")
CAPTION_COLUMNS = ("caption", "text", "sentence", "captions", "raw")


@dataclasses.dataclass(frozen=True)
class Row:
    """A caption and its image, as a file has them."""

    place: str  # where in the file, for messages
    image: str
    caption: str
    split: str = ""  # as written; "" if the file has none


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
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
        separator = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
        table = csv.DictReader(itertools.chain([header], lines), delimiter=separator)
        names = _columns(table.fieldnames or [], file)
        for values in table:
            yield _row(f"{file}, line {table.line_num}", values, names)


def _jsonl_rows(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig") as lines:
        names: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            place = f"{file}, line {number}"
            try:
                values = json.loads(line) if line.strip() else None
            except ValueError:
                yield Row(place, "", "")
                continue
            if isinstance(values, dict):
                names = names or _columns(list(values), file)
                yield _row(place, values, names | _split_column(values))
            elif values is not None:
                yield Row(place, "", "")


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
    return found | _split_column(present)


def _split_column(present: Iterable[str]) -> dict[str, str]:
    names = (name for name in present if name and name.strip().lower() == "split")
    return {"split": name} if (name := next(names, "")) else {}


def _row(place: str, values: dict[str, Any], names: dict[str, str]) -> Row:
    return Row(place, **{what: _text(values.get(name)) for what, name in names.items()})


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _json_rows(file: Path) -> Iterator[Row]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not valid JSON ({error})") from error
    try:
        if "annotations" in content:
            names = {entry["id"]: entry["file_name"] for entry in content["images"]}
            for entry in content["annotations"]:
                image = _text(names.get(entry["image_id"]))
                yield Row(f"{file}, annotation {entry.get('id')}", image, _text(entry["caption"]))
            return
        for entry in content["images"]:
            name = str(Path(entry.get("filepath", ""), entry["filename"]))
            for sentence in entry["sentences"]:
                place = f"{file}, image {name}"
                yield Row(place, name, _text(sentence["raw"]), _text(entry.get("split")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} has neither COCO's captions nor Karpathy's splits: {error!r}"
        ) from error


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
