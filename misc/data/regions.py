"""Readers of phrases with boxes: Visual Genome's regions, and COCO's things by category."""

import array
import dataclasses
import functools
import logging
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misc.data.coco_things import CocoImage, read_box, read_things
from misc.data.json_files import stream_json
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure, read_item, tell

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RegionImage:
    """An image of Visual Genome with the phrases that were written for its regions."""

    image_id: int
    path: Path | None  # None if the file is in neither of the folders
    size: tuple[int, int]  # (width, height) in pixels, of the image that the boxes refer to
    region_ids: tuple[int, ...]
    phrases: tuple[str, ...]
    boxes: Tensor  # (B, 4), x, y, width and height in pixels
    phrase_of_box: Tensor  # (B,), the place of the phrase that each box is of


def read_coco_ids(paths: DataPaths) -> set[int]:
    """Read which images COCO val2014 has.

    Raises:
        FileNotFoundError: if neither the captions nor the instances of val2014 are there.
        ValueError: if the file is broken.
    """
    files = (file for file in (paths.captions, paths.instances) if file.exists())
    file = paths.existing(next(files, paths.captions))
    ids = set(stream_json(file, "images.item.id"))
    if not ids:
        raise ValueError(f"{file} lists no images")
    return ids


def read_regions(paths: DataPaths, coco_ids: Collection[int] | None = None) -> list[RegionImage]:
    """Read the images of Visual Genome that have regions, in the order of ``image_data.json``.

    Images and regions are joined by id. Only what is returned is kept of the large files.

    Args:
        paths: where the files are.
        coco_ids: keep only the images that COCO knows under one of these ids; ``None``: all.

    Raises:
        FileNotFoundError: if one of the two JSON files is missing.
        ValueError: if one is broken, or no image with regions is left; the message names it.
    """
    images_file, regions_file = paths.existing(paths.region_images), paths.existing(paths.regions)
    failures: list[Failure] = []
    entries = _read_images(images_file, coco_ids, failures)
    regions = _read_phrases(regions_file, entries, failures)
    tell(failures, logger)
    images = [
        RegionImage(
            image_id,
            _region_image_path(paths, image_id),
            entries[image_id],
            tuple(ids),
            tuple(phrases),
            torch.tensor(boxes).view(-1, 4),
            torch.arange(len(ids)),
        )
        for image_id, (ids, phrases, boxes) in regions.items()
        if ids
    ]
    if not images:
        raise ValueError(
            f"{regions_file} has no region in the images that were chosen, {len(entries)} of "
            f"those in {images_file}; --all-images chooses all of them"
        )
    return images


Phrases = tuple[list[int], list[str], "array.array[float]"]  # ids, phrases, four numbers a box


def _read_images(
    file: Path, coco_ids: Collection[int] | None, failures: list[Failure]
) -> dict[int, tuple[int, int]]:
    """Read the sizes (width, height) of images by id; an image that is listed twice counts once."""

    def read(entry: dict[str, Any]) -> tuple[int, tuple[int, int], bool]:
        size = int(entry["width"]), int(entry["height"])
        chosen = coco_ids is None or entry.get("coco_id") in coco_ids
        return int(entry["image_id"]), size, chosen

    found: dict[int, tuple[int, int]] = {}
    for index, entry in enumerate(stream_json(file, "item")):
        item = read_item(index, f"{file.name}, entry {index}", functools.partial(read, entry))
        if isinstance(item, Failure):
            failures.append(item)
        elif item[2]:
            found.setdefault(item[0], item[1])
    if not found and failures:
        raise ValueError(
            f"{file} is not in the format of Visual Genome's image data: {failures[0].reason}"
        )
    return found


def _read_phrases(
    file: Path, image_ids: Collection[int], failures: list[Failure]
) -> dict[int, Phrases]:
    """Read the regions of images; one that is listed twice counts once."""
    regions: dict[int, Phrases] = {image: ([], [], array.array("f")) for image in image_ids}

    used = 0
    for index, region in enumerate(stream_json(file, "item.regions.item")):
        item = read_item(
            index, f"{file.name}, region {index}", functools.partial(_add, region, regions)
        )
        if isinstance(item, Failure):
            failures.append(item)
        else:
            used += 1
    if not used and failures:
        raise ValueError(
            f"{file} is not in the format of Visual Genome's region descriptions: "
            f"{failures[0].reason}"
        )
    return regions


def _add(region: dict[str, Any], regions: dict[int, Phrases]) -> None:
    image = int(region["image_id"])
    if image not in regions:
        return
    ids, phrases, boxes = regions[image]
    number, phrase = int(region["region_id"]), region["phrase"]
    if isinstance(phrase, list | dict):
        raise ValueError(f"a phrase is a text, not {phrase!r:.80}")
    box = [float(region[key]) for key in ("x", "y", "width", "height")]
    if not all(map(math.isfinite, box)):
        raise ValueError(f"a box is four finite numbers, not {box}")
    if number not in ids:
        ids.append(number)
        phrases.append("" if phrase is None else str(phrase))
        boxes.extend(box)


def _region_image_path(paths: DataPaths, image_id: int) -> Path | None:
    files = (folder / f"{image_id}.jpg" for folder in paths.region_image_folders)
    return next((file for file in files if file.exists()), None)


def read_category_boxes(paths: DataPaths, prompt: str) -> list[RegionImage]:
    """Read COCO's things as regions: one phrase for each category in an image, with all its boxes.

    Groups of things (``iscrowd``) are left out, as their boxes are around what is not outlined.

    Args:
        paths: where the files are.
        prompt: the phrase, in which {name} stands for that of the category.

    Returns:
        The images that show a category; the ids of their regions are those of the categories.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, or nothing is left.
    """
    things = read_things(paths, crowds=False, read_form=read_box)
    images = [
        _category_image(image, things.of_image[image.image_id], things.names, prompt)
        for image in things.images
        if image.image_id in things.of_image
    ]
    if not images:
        raise ValueError(f"{paths.instances} has nothing outlined")
    return images


def _category_image(
    image: CocoImage, things: list[tuple[int, list[float]]], names: dict[int, str], prompt: str
) -> RegionImage:
    ids = sorted({category for category, _ in things})
    return RegionImage(
        image.image_id,
        image.path if image.path.exists() else None,
        image.size,
        tuple(ids),
        tuple(prompt.replace("{name}", names[category]) for category in ids),
        torch.tensor([box for _, box in things], dtype=torch.float32).view(-1, 4),
        torch.tensor([ids.index(category) for category, _ in things], dtype=torch.long),
    )
