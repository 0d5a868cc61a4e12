"""COCO's annotations of things, each checked; outlines and boxes are read with it."""

import collections
import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from misc.data.entries import leave_out, read_entries, read_id
from misc.data.json_files import format_of, read_json
from misc.data.paths import DataPaths
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


@dataclasses.dataclass(frozen=True)
class CocoThings(Generic[Form]):
    """The photographs of a file of instances, its categories, and the things in each photograph."""

    images: list[CocoImage]
    names: dict[int, str]  # of the categories, by id, in the order of the file
    of_image: dict[int, list[tuple[int, Form]]]  # category and form, by the id of the image


def read_things(
    paths: DataPaths,
    crowds: bool,
    read_form: Callable[[dict[str, Any], Size], Form],
    left_out: list[Failure] | None = None,
) -> CocoThings[Form]:
    """Read COCO's instances of val2014; what is wrong with one leaves it out, with its id.

    Args:
        paths: where the file is.
        crowds: also groups of things (``iscrowd``, 0 where it is missing).
        read_form: reads the form of an annotation in an image of some size (width, height), and
            raises whatever it likes if that is none.
        left_out: gets the entries that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, or has no image or no category that can be used.
    """
    file = paths.existing(paths.instances)
    listed = _listed(file)
    failures: list[Failure] = []

    def each(key: str, what: str, read: Callable[[dict[str, Any]], Item]) -> Iterator[Item]:
        return read_entries(listed[key], f"{file.name}, {what}", read, failures, _id)

    images: dict[int, CocoImage] = {}
    read_image = functools.partial(_image, images, paths.images / "val2014")
    for image in each("images", "image", read_image):
        images[image.image_id] = image
    names = dict(each("categories", "category", _category))
    if not images or not names:
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{file} has {len(images)} images and {len(names)} categories{reason}")
    of_image: dict[int, list[tuple[int, Form]]] = collections.defaultdict(list)
    read = functools.partial(_thing, images, names, crowds, read_form)
    for thing in filter(None, each("annotations", "annotation", read)):
        of_image[thing[0]].append(thing[1:])
    leave_out(failures, left_out, logger)
    return CocoThings(list(images.values()), names, dict(of_image))


def _listed(file: Path) -> dict[str, list[Any]]:
    with format_of(file, "COCO's instances"):
        content = read_json(file)
        return {key: list(content[key]) for key in ("images", "categories", "annotations")}


def _id(entry: object) -> object:
    return entry.get("id", "without an id") if isinstance(entry, dict) else "that is no object"


def _image(images: dict[int, CocoImage], folder: Path, entry: dict[str, Any]) -> CocoImage:
    image = CocoImage(read_id(entry["id"]), folder / entry["file_name"], read_size(entry))
    if images.get(image.image_id, image) != image:
        raise ValueError("it is listed before, and otherwise")
    return image


def _category(entry: dict[str, Any]) -> tuple[int, str]:
    return read_id(entry["id"]), str(entry["name"])


def _thing(
    images: dict[int, CocoImage],
    names: dict[int, str],
    crowds: bool,
    read_form: Callable[[dict[str, Any], Size], Form],
    annotation: dict[str, Any],
) -> tuple[int, int, Form] | None:
    """Read the image, category and form of an annotation; ``None`` of a crowd not asked for."""
    if int(annotation.get("iscrowd") or 0) and not crowds:
        return None
    image_id, category = int(annotation["image_id"]), int(annotation["category_id"])
    if image_id not in images:
        raise ValueError(f"the file lists no image {image_id}")
    if category not in names:
        raise ValueError(f"the file has no category {category}")
    return image_id, category, read_form(annotation, images[image_id].size)


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
