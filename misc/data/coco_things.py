"""COCO's annotations of things, each checked; outlines and boxes are read with it."""

import collections
import dataclasses
import functools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from misc.data.json_files import format_of, read_json
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure, read_item, tell

Form = TypeVar("Form")  # what is read of an annotation: its outline, or its box
Size = tuple[int, int]

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
    paths: DataPaths, crowds: bool, read_form: Callable[[dict[str, Any], Size], Form]
) -> CocoThings[Form]:
    """Read COCO's instances of val2014; what is wrong with one leaves it out, with its id.

    Args:
        paths: where the file is.
        crowds: also groups of things (``iscrowd``, 0 where it is missing).
        read_form: reads the form of an annotation in an image of some size (width, height), and
            raises whatever it likes if that is none.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, or has no image or no category that can be used.
    """
    file = paths.existing(paths.instances)
    with format_of(file, "COCO's instances"):
        content = read_json(file)
        listed, categories, annotations = (
            list(content[key]) for key in ("images", "categories", "annotations")
        )
    failures: list[Failure] = []
    images = _read_images(listed, paths.images / "val2014", failures, file.name)
    names = {int(category["id"]): str(category["name"]) for category in categories}
    if not images or not names:
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{file} has {len(images)} images and {len(names)} categories{reason}")
    of_image: dict[int, list[tuple[int, Form]]] = collections.defaultdict(list)
    for index, annotation in enumerate(annotations):
        if not crowds and isinstance(annotation, dict) and annotation.get("iscrowd"):
            continue
        read = functools.partial(_thing, annotation, images, names, read_form)
        thing = read_item(index, f"{file.name}, annotation {_id(annotation)}", read)
        if isinstance(thing, Failure):
            failures.append(thing)
        else:
            of_image[thing[0]].append(thing[1:])
    _tell(failures, len(listed) + len(annotations), file)
    return CocoThings(list(images.values()), names, dict(of_image))


def _tell(failures: list[Failure], total: int, file: Path) -> None:
    tell(failures, logger)
    if failures:
        logger.warning("%s: %d of %d entries are left out", file, len(failures), total)


def _read_images(
    listed: list[Any], folder: Path, failures: list[Failure], name: str
) -> dict[int, CocoImage]:
    images = {}
    for index, entry in enumerate(listed):
        read = functools.partial(_image, entry, folder)
        image = read_item(index, f"{name}, image {_id(entry)}", read)
        if isinstance(image, Failure):
            failures.append(image)
        else:
            images[image.image_id] = image
    return images


def _id(entry: object) -> object:
    return entry.get("id", "without an id") if isinstance(entry, dict) else "that is no object"


def _image(entry: dict[str, Any], folder: Path) -> CocoImage:
    width, height = int(entry["width"]), int(entry["height"])
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels are no size")
    return CocoImage(int(entry["id"]), folder / entry["file_name"], (width, height))


def _thing(
    annotation: dict[str, Any],
    images: dict[int, CocoImage],
    names: dict[int, str],
    read_form: Callable[[dict[str, Any], Size], Form],
) -> tuple[int, int, Form]:
    image_id, category = int(annotation["image_id"]), int(annotation["category_id"])
    if image_id not in images:
        raise ValueError(f"the file lists no image {image_id}")
    if category not in names:
        raise ValueError(f"the file has no category {category}")
    return image_id, category, read_form(annotation, images[image_id].size)


def read_box(annotation: dict[str, Any], size: Size) -> list[float]:
    """Read a box: x, y, width and height in pixels.

    Raises:
        ValueError: if it is not four finite numbers.
    """
    box = [float(number) for number in annotation["bbox"]]
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"a box is four finite numbers, not {annotation['bbox']!r}")
    return box
