"""Readers of COCO's outlines, and the masks that they enclose."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_masks
from torch import Tensor

from misc.data.coco_things import read_things
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure

Segmentation = list[np.ndarray] | dict[str, Any]  # polygons [(P, 2)], or a run-length encoding


@dataclasses.dataclass(frozen=True)
class InstanceImage:
    """A photograph of COCO with the outlines of the things in it."""

    image_id: int
    path: Path
    size: tuple[int, int]  # (width, height) in pixels
    instances: tuple[tuple[int, Segmentation], ...]  # place in the list of categories, outline
    found: bool = True  # False if there is no such file


def read_instances(
    paths: DataPaths, crowds: bool = True, left_out: list[Failure] | None = None
) -> tuple[list[InstanceImage], list[str]]:
    """Read the outlined things of COCO val2014: all images, and the names of all categories.

    Args:
        paths: where the files are.
        crowds: also the outlines around groups of things (``iscrowd``).
        left_out: gets the entries that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is broken or has no image or no category.
    """
    things = read_things(paths, crowds, read_outline, left_out)
    places = {category: place for place, category in enumerate(things.names)}
    images = [
        InstanceImage(
            image.image_id,
            image.path,
            image.size,
            tuple(
                (places[category], outline)
                for category, outline in things.of_image.get(image.image_id, ())
            ),
            image.found,
        )
        for image in things.images
    ]
    return images, list(things.names.values())


def read_outline(annotation: dict[str, Any], size: tuple[int, int]) -> Segmentation:
    """Read the outline of an annotation in an image of some size (width, height).

    Raises:
        ValueError: if a polygon has no corner, half of one, or one that is nowhere near the image;
            or if the runs of an encoding do not add up to the image.
    """
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        _check_encoding(segmentation, size)
        return segmentation
    polygons = [np.array(polygon, dtype=np.float64) for polygon in segmentation]
    if not polygons:
        raise ValueError("it has no polygon")
    for polygon in polygons:
        if polygon.ndim != 1 or not len(polygon) or len(polygon) % 2:
            raise ValueError(f"a polygon has pairs of numbers, not {polygon.tolist()!r:.80}")
        far = np.tile(size, len(polygon) // 2)
        if not ((polygon >= -far) & (polygon <= 2 * far)).all():  # nor NaN
            raise ValueError(f"a polygon is not in an image of {size[0]}x{size[1]} pixels")
    return [polygon.reshape(-1, 2) for polygon in polygons]


def _check_encoding(encoded: dict[str, Any], size: tuple[int, int]) -> None:
    """Refuse runs that do not fill an image: they would be decoded beyond its memory."""
    width, height = size
    counts = encoded["counts"]
    if list(encoded["size"]) != [height, width]:
        raise ValueError(f"it is encoded for {encoded['size']}, not {[height, width]}")
    runs = [int(count) for count in counts] if isinstance(counts, list) else _unpacked(counts)
    if min(runs, default=-1) < 0 or sum(runs) != width * height:
        raise ValueError(f"its runs add up to {sum(runs)} pixels, not {width * height}")


def _unpacked(text: str) -> list[int]:
    """Take apart the runs that COCO's tools pack into characters of six bits, by differences."""
    runs: list[int] = []
    value, shift = 0, 0
    for code in text.encode("ascii"):
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{chr(code)!r} packs no run")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its runs are cut off")
    return runs


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
