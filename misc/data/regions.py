"""Readers of phrases with boxes: Visual Genome's regions, and COCO's things by category."""

import array
import functools
import logging
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from misc.data.coco_releases import ids_of_val2014
from misc.data.coco_things import CocoImage, Size, read_box, read_size, read_things
from misc.data.entries import leave_out, read_entries, read_id
from misc.data.json_files import stream_json
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs
from misc.data.region_images import RegionImage
from misc.runtime.failures import Failure

logger = logging.getLogger(__name__)


def read_coco_ids(paths: DataPaths, left_out: list[Failure] | None = None) -> set[int]:
    """Read which images COCO val2014 has.

    Args:
        paths: where the files are.
        left_out: gets the ids that are none, which are logged in any case.

    Raises:
        FileNotFoundError: if neither the captions nor the instances of val2014 are there, nor
            Karpathy's splits, which say it, too.
        ValueError: if the file is broken.
    """
    files = (file for file in (paths.captions, paths.instances) if file.exists())
    file = next(files, paths.captions)
    if not file.exists() and paths.split_file.exists():
        return ids_of_val2014(paths)
    paths.existing(file)
    failures: list[Failure] = []

    def read(entry: dict[str, Any]) -> int:
        return read_id(entry["id"])

    entries = stream_json(file, "images.item")
    ids = set(read_entries(entries, f"{file.name}, image", read, failures))
    if not ids:
        raise ValueError(f"{file} lists no images")
    leave_out(failures, left_out, logger)
    return ids


def read_regions(
    paths: DataPaths,
    coco_ids: Collection[int] | None = None,
    left_out: list[Failure] | None = None,
) -> list[RegionImage]:
    """Read the images of Visual Genome that have regions, in the order of ``image_data.json``.

    Images and regions are joined by id. Only what is returned is kept of the large files.

    Args:
        paths: where the files are.
        coco_ids: keep only the images that COCO knows under one of these ids; ``None``: all.
        left_out: gets the images and regions that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if one of the two JSON files is missing.
        ValueError: if one is broken, or no image with regions is left; the message names it.
    """
    images_file, regions_file = paths.existing(paths.region_images), paths.existing(paths.regions)
    failures: list[Failure] = []
    sizes = _read_sizes(images_file, coco_ids, failures)
    regions = _read_phrases(regions_file, sizes, failures)
    leave_out(failures, left_out, logger)
    photographs = Photographs(paths.region_image_folders)
    images = [
        # One after the other is let go.
        _region_image(image_id, photographs.by_id(image_id), regions.pop(image_id))
        for image_id in list(regions)
    ]
    if not images:
        raise ValueError(
            f"{regions_file} has no region in the images that were chosen, "
            f"{sum(size is not None for size in sizes.values())} of those in {images_file}; "
            "--all-images chooses all of them"
        )
    return images


def _text(phrase: object) -> str:
    """Read a phrase that is no text: null is a blank one."""
    if isinstance(phrase, list | dict):
        raise ValueError(f"a phrase is a text, not {phrase!r:.80}")
    return "" if phrase is None else str(phrase)


class _Regions(NamedTuple):
    """Those of an image, while they are read."""

    size: Size
    phrases: dict[int, str]  # by id
    boxes: "array.array[float]"  # four numbers each


def _read_sizes(
    file: Path, coco_ids: Collection[int] | None, failures: list[Failure]
) -> dict[int, Size | None]:
    """Read the sizes of images by id, ``None`` of those that are not chosen."""

    def read(entry: dict[str, Any]) -> tuple[int, Size | None]:
        image_id, size, coco_id = read_id(entry["image_id"]), read_size(entry), entry.get("coco_id")
        chosen = coco_ids is None or (coco_id is not None and int(coco_id) in coco_ids)
        kept = size if chosen else None
        if sizes.get(image_id, kept) != kept:
            raise ValueError(f"image {image_id} is listed before, and otherwise")
        return image_id, kept

    sizes: dict[int, Size | None] = {}
    entries = stream_json(file, "item")
    for image_id, size in read_entries(entries, f"{file.name}, entry", read, failures):
        sizes[image_id] = size
    if not sizes and failures:
        raise ValueError(
            f"{file} is not in the format of Visual Genome's image data: {failures[0].reason}"
        )
    return sizes


def _read_phrases(
    file: Path, sizes: dict[int, Size | None], failures: list[Failure]
) -> dict[int, _Regions]:
    """Read the regions of the images that have a size; one that is listed twice counts once."""
    regions = {
        image: _Regions(size, {}, array.array("f")) if size else None
        for image, size in sizes.items()
    }
    before, add = len(failures), functools.partial(_add, regions)
    listed = _listed(file, failures)
    used = sum(1 for _ in read_entries(listed, f"{file.name}, region", add, failures))
    if not used and len(failures) > before:
        raise ValueError(
            f"{file} is not in the format of Visual Genome's region descriptions: "
            f"{failures[before].reason}"
        )
    return {image: found for image, found in regions.items() if found and found.phrases}


def _listed(file: Path, failures: list[Failure]) -> Iterator[dict[str, Any]]:
    """Give the regions of image after image."""

    def read(entry: dict[str, Any]) -> list[dict[str, Any]]:
        return list(entry["regions"])

    entries = stream_json(file, "item")
    for listed in read_entries(entries, f"{file.name}, entry", read, failures):
        yield from listed


def _add(regions: dict[int, _Regions | None], region: dict[str, Any]) -> None:
    image, number, phrase = int(region["image_id"]), read_id(region["region_id"]), region["phrase"]
    if image not in regions:
        raise ValueError(f"there is no image {image}")
    text = phrase if isinstance(phrase, str) else _text(phrase)
    box = [
        float(region["x"]), float(region["y"]), float(region["width"]), float(region["height"])
    ]  # fmt: skip
    if not math.isfinite(sum(box)):
        raise ValueError(f"a box is four finite numbers, not {box}")
    found = regions[image]
    if found is None:  # not chosen
        return
    _, phrases, boxes = found
    if number not in phrases:
        phrases[number] = text
        boxes.extend(box)
        return
    place = 4 * list(phrases).index(number)
    if (phrases[number], boxes[place : place + 4]) != (text, array.array("f", box)):
        raise ValueError(f"region {number} is listed before, and otherwise")


def _region_image(image_id: int, path: Path | None, found: _Regions) -> RegionImage:
    return RegionImage(
        image_id,
        path,
        found.size,
        tuple(found.phrases),
        tuple(found.phrases.values()),
        torch.tensor(found.boxes).view(-1, 4),
        torch.arange(len(found.phrases)),
    )


def read_category_boxes(
    paths: DataPaths, prompt: str, left_out: list[Failure] | None = None
) -> list[RegionImage]:
    """Read COCO's things as regions: one phrase for each category in an image, with all its boxes.

    Groups of things (``iscrowd``) are left out, as their boxes are around what is not outlined.

    Args:
        paths: where the files are.
        prompt: the phrase, in which {name} stands for that of the category.
        left_out: gets the entries that cannot be used, which are logged in any case.

    Returns:
        The images that show a category; the ids of their regions are those of the categories.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken, or nothing is left.
    """
    things = read_things(paths, crowds=False, read_form=read_box, left_out=left_out)
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
        image.path if image.found else None,
        image.size,
        tuple(ids),
        tuple(prompt.replace("{name}", names[category]) for category in ids),
        torch.tensor([box for _, box in things], dtype=torch.float32).view(-1, 4),
        torch.tensor([ids.index(category) for category, _ in things], dtype=torch.long),
    )
