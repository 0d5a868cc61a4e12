"""Readers of COCO's outlines, and the masks that they enclose."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_masks
from torch import Tensor

from misc.data.json_files import _format_of, read_json
from misc.data.paths import DataPaths

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
        instances: dict[int, list[tuple[int, Segmentation]]] = {
            entry["id"]: [] for entry in content["images"]
        }
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


def _compact(segmentation: list[list[float]] | dict[str, Any]) -> Segmentation:
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
    mask: np.ndarray = coco_masks.decode(encoded)
    return mask
