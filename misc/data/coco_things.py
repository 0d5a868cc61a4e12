"""COCO's annotations of things in val2014, each checked; outlines and boxes are read with it."""

import collections
import dataclasses
import functools
import logging
import math
import operator
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from misc.data.coco_releases import files_of_val2014
from misc.data.entries import leave_out, read_entries, read_id
from misc.data.json_files import format_of, read_json
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs
from misc.runtime.failures import Failure

Item = TypeVar("Item")
Form = TypeVar("Form")  # what is read of an annotation: its outline, or its box
Size = tuple[int, int]
MOST_PIXELS = 2 * 89_478_485  # of an image that Pillow reads

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CocoImage:
    """A photograph of COCO."""

    image_id: int
    path: Path
    size: Size  # (width, height) in pixels
    found: bool  # False if there is no such file


@dataclasses.dataclass(frozen=True)
class CocoThings(Generic[Form]):
    """The photographs of val2014, COCO's categories, and the things in each photograph."""

    images: list[CocoImage]  # by id
    names: dict[int, str]  # of the categories, by id, in the order of the file
    of_image: dict[int, list[tuple[int, Form]]]  # category and form, by the id of the image


def read_things(
    paths: DataPaths,
    crowds: bool,
    read_form: Callable[[dict[str, Any], Size], Form],
    left_out: list[Failure] | None = None,
) -> CocoThings[Form]:
    """Read COCO's instances of val2014; what is wrong with one leaves it out, with its id.

    Without ``instances_val2014.json``, those of the same images are read of the release of 2017.

    Args:
        paths: where the files are.
        crowds: also groups of things (``iscrowd``, 0 where it is missing).
        read_form: reads the form of an annotation in an image of some size (width, height), and
            raises whatever it likes if that is none.
        left_out: gets the entries that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is broken, or has no image or no category that can be used.
    """
    files, chosen = files_of_val2014(paths)
    photographs, failures = paths.photographs(), list[Failure]()
    images: dict[int, CocoImage | None] = {}
    names: dict[int, str] = {}
    of_image: dict[int, list[tuple[int, Form]]] = collections.defaultdict(list)
    for file in files:
        each = functools.partial(_each, file, _listed(file), failures)
        folder = paths.images / file.stem.removeprefix("instances_")
        images |= each("image", functools.partial(_image, images, chosen, folder, photographs))
        names |= each("category", _category)
        if not any(images.values()) or not names:
            reason = f": {failures[0].reason}" if failures else ""
            raise ValueError(f"{file} has {len(images)} images and {len(names)} categories{reason}")
        read = functools.partial(_thing, images, names, crowds, read_form)
        for thing in filter(None, each("annotation", read)):
            of_image[thing[0]].append(thing[1:])
    leave_out(failures, left_out, logger)
    in_order = sorted(filter(None, images.values()), key=operator.attrgetter("image_id"))
    return CocoThings(in_order, names, dict(of_image))


def _each(
    file: Path,
    listed: dict[str, list[Any]],
    failures: list[Failure],
    what: str,
    read: Callable[[dict[str, Any]], Item],
) -> Iterator[Item]:
    return read_entries(listed[what], f"{file.name}, {what}", read, failures, _id)


def _listed(file: Path) -> dict[str, list[Any]]:
    with format_of(file, "COCO's instances"):
        content = read_json(file)
        keys = {"image": "images", "category": "categories", "annotation": "annotations"}
        return {what: list(content[key]) for what, key in keys.items()}


def _id(entry: object) -> object:
    return entry.get("id", "without an id") if isinstance(entry, dict) else "that is no object"


def _image(
    images: dict[int, CocoImage | None],
    chosen: Collection[int] | None,
    folder: Path,
    photographs: Photographs,
    entry: dict[str, Any],
) -> tuple[int, CocoImage | None]:
    """Read an image, and its id; ``None`` if it is not one of those chosen."""
    image_id, size, place = read_id(entry["id"]), read_size(entry), folder / entry["file_name"]
    if chosen is not None and image_id not in chosen:
        return image_id, None
    path = photographs.find(place)
    image = CocoImage(image_id, path or place, size, bool(path))
    if images.get(image_id, image) != image:
        raise ValueError("it is listed before, and otherwise")
    return image_id, image


def _category(entry: dict[str, Any]) -> tuple[int, str]:
    return read_id(entry["id"]), str(entry["name"])


def _thing(
    images: dict[int, CocoImage | None],
    names: dict[int, str],
    crowds: bool,
    read_form: Callable[[dict[str, Any], Size], Form],
    annotation: dict[str, Any],
) -> tuple[int, int, Form] | None:
    """Read image, category and form of an annotation; ``None`` if one is not asked for."""
    if int(annotation.get("iscrowd") or 0) and not crowds:
        return None
    image_id, category = int(annotation["image_id"]), int(annotation["category_id"])
    if image_id not in images:
        raise ValueError(f"the file lists no image {image_id}")
    if category not in names:
        raise ValueError(f"the file has no category {category}")
    image = images[image_id]
    return (image_id, category, read_form(annotation, image.size)) if image else None


def read_size(entry: dict[str, Any]) -> Size:
    """Read the size of an image (width, height) in pixels.

    Raises:
        ValueError: if one of them is not above 0, or no image of that size can be read.
    """
    width, height = int(entry["width"]), int(entry["height"])
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise ValueError(f"{width:.4g} x {height:.4g} pixels are no size")
    return width, height


def read_box(annotation: dict[str, Any], size: Size) -> list[float]:
    """Read a box: x, y, width and height in pixels.

    Raises:
        ValueError: if it is not four finite numbers.
    """
    box = [float(number) for number in annotation["bbox"]]
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"a box is four finite numbers, not {annotation['bbox']!r}")
    return box
