"""Segmentation: from an image's activation maps to the overlaps of its categories, of 80.

python -m benchmarks.segmentation
python -m benchmarks.segmentation --quick
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run

CATEGORIES = 80
PRESENT = 3  # categories in an image, as in COCO on average
COMPONENTS = 10
THRESHOLD = 0.45
SIZE = (640, 480)
BATCH = 4


def encoded(path: Path) -> Any:
    """Make a model, the maps of a batch of images, their outlines, and the categories' texts."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from misc.checkpoints.checkpoint import load_model
    from misc.data.outlines import InstanceImage

    model = load_model(path)
    torch.manual_seed(0)
    dimension = model.config.embedding_dim
    coarse = torch.randn(BATCH, dimension, 3, 3)
    maps = F.interpolate(coarse, size=(13, 13), mode="bilinear")  # of 400 x 400 pixels
    texts = F.normalize(torch.randn(CATEGORIES, dimension), dim=1)
    outline = [np.array([[100.0, 80.0], [500.0, 100.0], [420.0, 400.0], [120.0, 360.0]])]
    instances = tuple((7 * category, outline) for category in range(PRESENT))
    images = [InstanceImage(row, Path(), SIZE, instances) for row in range(BATCH)]
    return model, maps, texts, images


def ours(path: Path) -> Work:
    import torch

    from misc.evaluation.segmentation import score_images
    from misc.inference.batches import MappedBatch

    model, maps, texts, images = encoded(path)
    embeddings = torch.zeros(BATCH, model.config.embedding_dim)
    batch = MappedBatch(list(range(BATCH)), embeddings, maps, [])

    @torch.inference_mode()
    def work():
        kernels = model.localization_kernels(texts, COMPONENTS)
        return score_images(images, [batch], texts, kernels, THRESHOLD).ious.numpy()

    return work


def naive(path: Path) -> Work:
    import torch

    from benchmarks.naive_localization import heat_map, overlaps

    model, maps, texts, images = encoded(path)
    weight = model.image_encoder.projection.weight

    @torch.inference_mode()
    def work():
        found = []
        for image, image_maps in zip(images, maps, strict=True):
            heats = [heat_map(image_maps, weight, text, COMPONENTS) for text in texts]
            found += overlaps(image, heats, THRESHOLD)
        return torch.tensor(found).numpy()

    return work


def main(args: argparse.Namespace) -> None:
    with inputs.folder() as folder:
        settings = {"path": inputs.save_model(folder, inputs.model_config(args.quick))}
        sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
        figures = measure(sides, rounds=5, agree=agreement.close(1e-3))
    work = f"segmentation, {CATEGORIES} categories, from an image's maps"
    report([Row.rates(work, "images/s", figures, BATCH, min_ratio=30)], args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
