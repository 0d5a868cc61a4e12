"""Readers of the published annotation formats; nothing else knows them."""

import array
import collections
import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import cv2
import ijson
import numpy as np
import torch
from pycocotools import mask as coco_masks
from torch import Tensor

from misc.data.own_captions import CaptionedImage, read_caption_file
from misc.config import DataPaths


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        ValueError: if it is empty, cut off or no JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again") from error


def stream_json(path: Path, prefix: str) -> Iterator[Any]:
    """Read the parts of a JSON file one after the other, without keeping them.

    Args:
        path: the file.
        prefix: which parts, as in ``ijson``: "images.item" are those of the list "images".

    Raises:
        ValueError: if it is empty, cut off or no JSON; the message names it.
    """
    try:
        with path.open("rb") as file:
            yield from ijson.items(file, prefix, use_float=True)
    except ijson.JSONError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again") from error


@contextlib.contextmanager
def _format_of(file: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not in the format of {name}: {error!r}") from error


def read_captions(paths: DataPaths, splits: Collection[str]) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``, in the file's order.

    Captions of one's own are read by ``misc.data.own_captions`` instead.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not in Karpathy's format, has no image in these splits, or one of
            their captions has no word; hours of encoding would end there.
    """
    if paths.dataset == "captions":
        return read_caption_file(paths.own_captions, paths.own_images, splits)
    file = paths.existing(paths.split_file)
    with _format_of(file, "Karpathy's splits"):
        entries = read_json(file)["images"]
        counts = collections.Counter(entry["split"] for entry in entries)
        images = [
            CaptionedImage(
                image_id=entry.get("cocoid", entry["imgid"]),
                path=paths.images / entry.get("filepath", "") / entry["filename"],
                captions=tuple(sentence["raw"] for sentence in entry["sentences"]),
            )
            for entry in entries
            if entry["split"] in splits
        ]
    if not images:
        present = ", ".join(f"{split} ({count})" for split, count in counts.items())
        raise ValueError(
            f"{file} has no image in {' or '.join(splits)}; it has {present or 'none'}"
        )
    for image in images:
        for caption in image.captions:
            if not caption.strip():
                raise ValueError(
                    f"{file}: the caption {caption!r} of image {image.image_id} "
                    f"({image.path.name}) has no word; take it out"
                )
    return images


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
    regions: dict[int, tuple[list[int], list[str], array.array]] = {
        image_id: ([], [], array.array("f")) for image_id in entries
    }
    with _format_of(regions_file, "Visual Genome's region descriptions"):
        for region in stream_json(regions_file, "item.regions.item"):
            if region["image_id"] in regions:
                ids, phrases, boxes = regions[region["image_id"]]
                ids.append(region["region_id"])
                phrases.append(region["phrase"])
                boxes.extend(region[key] for key in ("x", "y", "width", "height"))
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
        found: dict[int, list] = {entry["id"]: [] for entry in content["images"]}
        for annotation in content["annotations"]:
            if not annotation["iscrowd"]:
                found[annotation["image_id"]].append(
                    (annotation["category_id"], annotation["bbox"])
                )
        images = []
        for entry in content["images"]:
            things = found[entry["id"]]
            ids = sorted({category for category, _ in things})
            path = paths.images / "val2014" / entry["file_name"]
            region_image = RegionImage(
                entry["id"],
                path if path.exists() else None,
                (entry["width"], entry["height"]),
                tuple(ids),
                tuple(prompt.replace("{name}", names[category]) for category in ids),
                torch.tensor([box for _, box in things], dtype=torch.float32).view(-1, 4),
                torch.tensor([ids.index(category) for category, _ in things], dtype=torch.long),
            )
            images += [region_image] if ids else []
    if not images:
        raise ValueError(f"{file} has nothing outlined")
    return images


Segmentation = list[np.ndarray] | dict[str, Any]  # polygons [(P, 2)], or a run-length encoding


@dataclasses.dataclass(frozen=True)
class InstanceImage:
    """A photograph of COCO with the outlines of the things in it."""

    image_id: int
    path: Path
    size: tuple[int, int]  # (width, height) in pixels
    instances: tuple[tuple[int, Segmentation], ...]  # place in the list of categories, outline


def read_instances(paths: DataPaths, crowds: bool = True) -> tuple[list[InstanceImage], list[str]]:
    """Read the outlined things of COCO val2014: all images, and the names of all categories.

    Args:
        paths: where the files are.
        crowds: also the outlines around groups of things (``iscrowd``).

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken or has no image or no category.
    """
    file = paths.existing(paths.instances)
    content = read_json(file)
    with _format_of(file, "COCO's instances"):
        places = {category["id"]: place for place, category in enumerate(content["categories"])}
        instances: dict[int, list] = {entry["id"]: [] for entry in content["images"]}
        for annotation in content["annotations"]:
            if crowds or not annotation["iscrowd"]:
                outline = _compact(annotation["segmentation"])
                place = places[annotation["category_id"]]
                instances[annotation["image_id"]].append((place, outline))
        images = [
            InstanceImage(
                entry["id"],
                paths.images / "val2014" / entry["file_name"],
                (entry["width"], entry["height"]),
                tuple(instances[entry["id"]]),
            )
            for entry in content["images"]
        ]
        names = [category["name"] for category in content["categories"]]
    if not images or not names:
        raise ValueError(f"{file} has {len(images)} images and {len(names)} categories")
    return images, names


def _compact(segmentation: list | dict) -> Segmentation:
    if isinstance(segmentation, dict):
        return segmentation
    return [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in segmentation]


def category_masks(image: InstanceImage, published: bool = False) -> tuple[list[int], Tensor]:
    """Draw where each category of an image is: the union of its outlines.

    Args:
        image: with its outlines.
        published: True fills polygons as the code of 2018 did, their corners truncated to whole
            pixels and their border included; False as COCO's own tools do.

    Returns:
        The categories in the image, sorted, and their masks (C, height, width), True inside.

    Raises:
        ValueError: if an encoding does not have the image's size.
    """
    width, height = image.size
    categories = sorted({category for category, _ in image.instances})
    masks = np.zeros((len(categories), height, width), dtype=np.uint8)
    for category, outline in image.instances:
        mask = masks[categories.index(category)]
        if isinstance(outline, dict):
            mask |= _decode(outline, image)
        elif published:
            for polygon in outline:  # one by one: where polygons of one call overlap, it is empty
                cv2.fillPoly(mask, [polygon.astype(np.int32)], 1)
        else:
            # Of fewer than three corners, COCO's tools would make a box or crash.
            polygons = [polygon.ravel() for polygon in outline if len(polygon) >= 3]
            for encoded in coco_masks.frPyObjects(polygons, height, width) if polygons else ():
                mask |= coco_masks.decode(encoded)
    return categories, torch.from_numpy(masks).bool()


def _decode(encoded: dict[str, Any], image: InstanceImage) -> np.ndarray:
    """Decode a run-length encoding: ``counts`` is a list, or compressed to a string."""
    width, height = image.size
    if list(encoded["size"]) != [height, width]:
        raise ValueError(
            f"image {image.image_id} has {width}x{height} pixels, but an outline in it was "
            f"encoded for {encoded['size'][1]}x{encoded['size'][0]}"
        )
    if isinstance(encoded["counts"], list):
        encoded = coco_masks.frPyObjects(encoded, height, width)
    return coco_masks.decode(encoded)
