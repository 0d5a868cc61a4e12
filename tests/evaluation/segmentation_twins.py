"""Overlaps of outlines by OpenCV and pycocotools, and photographs to compare them on."""

import itertools
import json

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks

from misc.data.paths import DataPaths


def twin_target(annotations, width, height, published):
    target = np.zeros((height, width), np.uint8)
    for annotation in annotations:
        outline = annotation["segmentation"]
        if isinstance(outline, dict) or not published:
            if isinstance(outline, list) or isinstance(outline["counts"], list):
                outline = coco_masks.frPyObjects(outline, height, width)
            outline = coco_masks.merge(outline) if isinstance(outline, list) else outline
            target |= coco_masks.decode(outline)
            continue
        for polygon in outline:
            cv2.fillPoly(target, [np.array(polygon).reshape(-1, 2).astype(np.int32)], 1)
    if published:
        target = cv2.resize(target, (200, 200), interpolation=cv2.INTER_NEAREST)
    return target.astype(bool)


def twin_overlap(heat, target):
    stretched = (heat - heat.min()) / (heat.max() - heat.min())
    size = target.shape[::-1]
    resized = cv2.resize(stretched.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
    mask = resized > 0.45 * (resized.max() - resized.min())
    return (mask & target).sum() / (mask | target).sum()


def write_photographs(root):
    """Two wide photographs of one category, in polygons and both kinds of run lengths."""
    paths = DataPaths(root)
    (paths.images / "val2014").mkdir(parents=True)
    paths.instances.parent.mkdir(parents=True)
    generator, outlines = np.random.default_rng(1), []
    for image_id in (1, 2, 3):
        pixels = generator.integers(0, 256, (7, 12, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((96, 57))
        image.save(paths.images / "val2014" / f"{image_id}.jpg")
    mask = np.zeros((57, 96), np.uint8)
    mask[10:40, 5:60] = 1
    packed = coco_masks.encode(np.asfortranarray(mask))
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]]))).tolist()
    counts = [b - a for a, b in itertools.pairwise([0, *edges, len(flat)])]
    outlines = [
        (1, 0, [[3.7, 5.9, 60.2, 5.1, 50.6, 50.8], [40, 20, 90.9, 20.9, 90.9, 55.5, 40, 55]]),
        (1, 0, {"size": [57, 96], "counts": packed["counts"].decode()}),
        (2, 1, {"size": [57, 96], "counts": counts}),
        (2, 0, [[70.8, 0, 96, 0, 96, 30.9, 70.8, 30.9]]),
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 57} for i in (1, 2, 3)
        ],
        "categories": [{"id": 5, "name": "dog"}],
        "annotations": [
            {"image_id": i, "category_id": 5, "iscrowd": crowd, "segmentation": outline}
            for i, crowd, outline in outlines
        ],
    }
    paths.instances.write_text(json.dumps(content))
    return paths
