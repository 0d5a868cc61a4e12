"""Readers of phrases with boxes: Visual Genome's regions, and COCO's things by category."""

import array
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misc.data.json_files import _format_of, read_json, stream_json
from misc.data.paths import DataPaths


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
    with _format_of(images_file, "Visual Genome's image data"):
        entries = {
            entry["image_id"]: (entry["width"], entry["height"])
            for entry in stream_json(images_file, "item")
            if coco_ids is None or entry["coco_id"] in coco_ids
        }
    regions = _read_phrases(regions_file, entries)
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


def _read_phrases(file: Path, image_ids: Collection[int]) -> dict[int, Phrases]:
    regions: dict[int, Phrases] = {image: ([], [], array.array("f")) for image in image_ids}
    with _format_of(file, "Visual Genome's region descriptions"):
        for region in stream_json(file, "item.regions.item"):
            if region["image_id"] in regions:
                ids, phrases, boxes = regions[region["image_id"]]
                ids.append(region["region_id"])
                phrases.append(region["phrase"])
                boxes.extend(region[key] for key in ("x", "y", "width", "height"))
    return regions


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
    file = paths.existing(paths.instances)
    content = read_json(file)
    with _format_of(file, "COCO's instances"):
        names = {category["id"]: category["name"] for category in content["categories"]}
        found: dict[int, list[tuple[int, list[float]]]] = {
            entry["id"]: [] for entry in content["images"]
        }
        for annotation in content["annotations"]:
            if not annotation["iscrowd"]:
                found[annotation["image_id"]].append(
                    (annotation["category_id"], annotation["bbox"])
                )
        images = [
            _category_image(paths, entry, found[entry["id"]], names, prompt)
            for entry in content["images"]
            if found[entry["id"]]
        ]
    if not images:
        raise ValueError(f"{file} has nothing outlined")
    return images


def _category_image(
    paths: DataPaths,
    entry: dict[str, Any],
    things: list[tuple[int, list[float]]],
    names: dict[int, str],
    prompt: str,
) -> RegionImage:
    ids = sorted({category for category, _ in things})
    path = paths.images / "val2014" / entry["file_name"]
    return RegionImage(
        entry["id"],
        path if path.exists() else None,
        (entry["width"], entry["height"]),
        tuple(ids),
        tuple(prompt.replace("{name}", names[category]) for category in ids),
        torch.tensor([box for _, box in things], dtype=torch.float32).view(-1, 4),
        torch.tensor([ids.index(category) for category, _ in things], dtype=torch.long),
    )
