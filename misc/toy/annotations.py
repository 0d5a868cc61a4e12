"""Annotations of the toy set, written in the formats of the real sets."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from misc.toy.grammar import Box, Kind, Scene
from misc.toy.scenes import SIDE


@dataclasses.dataclass(frozen=True)
class Picture:
    """A finished scene, its annotations and which thing each pixel (H, W) shows, counted from 1."""

    split: str
    image_id: int
    scene: Scene
    captions: list[str]
    regions: list[tuple[str, Box]]
    labels: np.ndarray

    @property
    def folder(self) -> str:
        """COCO's folder of the picture's split."""
        return "train2014" if self.split == "train" else "val2014"

    @property
    def file_name(self) -> str:
        """Name in the style of COCO."""
        return f"COCO_{self.folder}_{self.image_id:012d}.jpg"

    @property
    def region_image_id(self) -> int:
        """Number of the same picture in Visual Genome, which counts for itself."""
        return 2_000_000 + self.image_id

    @property
    def region_folder(self) -> str:
        """Folder of the same picture in Visual Genome, which has two."""
        return "VG_100K_2" if self.image_id % 10 == 0 else "VG_100K"


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outline a mask (H, W) as COCO does: corners x, y, x, y, … in pixels, holes ignored."""
    zoom = 4  # contours run through the middle of pixels, which is half a pixel inside the edge
    large = mask.repeat(zoom, axis=0).repeat(zoom, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = (cv2.approxPolyDP(contour, 1.5, closed=True) for contour in contours)
    corners = (((outline.ravel() + 0.5) / zoom).round(2).tolist() for outline in outlines)
    return [outline for outline in corners if len(outline) >= 6]


def segmentation(mask: np.ndarray, form: int) -> list[list[float]] | dict[str, Any]:
    """Write a mask (H, W) as polygons (0), as plain run lengths (1) or packed ones (2)."""
    if form == 0:
        return _polygons(mask)
    if form == 2:
        packed = rle.encode(np.asfortranarray(mask))
        return {"size": packed["size"], "counts": packed["counts"].decode("ascii")}
    flat = np.concatenate([[0], mask.ravel(order="F"), [0]])  # runs start with one of zeros
    changes = np.flatnonzero(np.diff(flat)).tolist()
    edges = [0, *changes, *([mask.size] if changes[-1] < mask.size else [])]
    counts = [end - start for start, end in zip(edges, edges[1:], strict=False)]
    return {"size": list(mask.shape), "counts": counts}


def karpathy(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Write scenes and captions as Karpathy's dataset.json."""
    entries = []
    sentence_ids = itertools.count()
    for number, picture in enumerate(pictures):
        sentences = [
            {
                "tokens": re.findall(r"\w+", text),
                "raw": text,
                "imgid": number,
                "sentid": next(sentence_ids),
            }
            for text in picture.captions
        ]
        entries.append(
            {
                "filepath": picture.folder,
                "sentids": [sentence["sentid"] for sentence in sentences],
                "filename": picture.file_name,
                "imgid": number,
                "split": picture.split,
                "sentences": sentences,
                "cocoid": picture.image_id,
            }
        )
    return {"images": entries, "dataset": "coco"}


def _coco(pictures: Sequence[Picture]) -> dict[str, Any]:
    images = [
        {
            "license": 1,
            "file_name": picture.file_name,
            "height": SIDE,
            "width": SIDE,
            "id": picture.image_id,
        }
        for picture in pictures
    ]
    license_url = "https://creativecommons.org/licenses/by-sa/4.0/"
    return {
        "info": {"description": "Emoji scenes in the format of COCO 2014", "version": "1.0"},
        "licenses": [{"url": license_url, "id": 1, "name": "CC BY-SA 4.0"}],
        "images": images,
    }


def coco_captions(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Write captions as COCO's captions_val2014.json."""
    pairs = [(picture.image_id, text) for picture in pictures for text in picture.captions]
    annotations = [
        {"image_id": image_id, "id": number, "caption": text}
        for number, (image_id, text) in enumerate(pairs, start=1)
    ]
    return {**_coco(pictures), "annotations": annotations}


def coco_instances(pictures: Sequence[Picture], things: Sequence[Kind]) -> dict[str, Any]:
    """Write masks in turn in COCO's three forms; no scene has a crowd, so iscrowd is always 0."""
    categories = [
        {"supercategory": kind.supercategory, "id": number, "name": kind.name}
        for number, kind in enumerate(things, start=1)
    ]
    category_ids = {category["name"]: category["id"] for category in categories}
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        for label, (kind, box) in enumerate(picture.scene.things, start=1):
            mask = (picture.labels == label).astype(np.uint8)
            shape = segmentation(mask, form=len(annotations) % 3)
            area = float(mask.sum())
            if isinstance(shape, list):  # polygons have no holes
                area = float(rle.area(rle.merge(rle.frPyObjects(shape, SIDE, SIDE))))
            annotations.append(
                {
                    "segmentation": shape,
                    "area": area,
                    "iscrowd": 0,
                    "image_id": picture.image_id,
                    "bbox": [float(extent) for extent in box],
                    "category_id": category_ids[kind.name],
                    "id": len(annotations) + 1,
                }
            )
    return {**_coco(pictures), "annotations": annotations, "categories": categories}


def region_images(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Write the pictures as Visual Genome's image_data.json."""
    return [
        {
            "width": SIDE,
            "url": f"https://example.org/{picture.region_folder}/{picture.region_image_id}.jpg",
            "height": SIDE,
            "image_id": picture.region_image_id,
            "coco_id": picture.image_id,
            "flickr_id": None,
        }
        for picture in pictures
    ]


def region_descriptions(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Write phrases and their boxes as Visual Genome's region_descriptions.json."""
    return [
        {
            "regions": [
                {
                    "region_id": 10 * picture.region_image_id + number,
                    "width": box.width,
                    "height": box.height,
                    "image_id": picture.region_image_id,
                    "phrase": phrase,
                    "y": box.y,
                    "x": box.x,
                }
                for number, (phrase, box) in enumerate(picture.regions)
            ],
            "id": picture.region_image_id,
        }
        for picture in pictures
    ]
