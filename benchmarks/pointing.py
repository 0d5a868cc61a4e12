"""Pointing game: from an image's activation maps to the hits of 50 phrases.

python -m benchmarks.pointing
python -m benchmarks.pointing --quick
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run

PHRASES = 50
SIZE = (640, 480)
BATCH = 8
SIGMA = 0.1


def encoded(path: Path) -> Any:
    """Make a model, the unprojected maps of a batch of images, and their regions and texts."""
    import torch
    import torch.nn.functional as F

    from misc.checkpoints.checkpoint import load_model
    from misc.data.region_images import RegionImage

    model = load_model(path)
    torch.manual_seed(0)
    maps = torch.randn(BATCH, model.config.embedding_dim, 13, 13)  # of 416 x 416 pixels
    texts = F.normalize(torch.randn(BATCH, PHRASES, model.config.embedding_dim), dim=2)
    boxes = torch.rand(BATCH, PHRASES, 4) * torch.tensor([400.0, 300.0, 240.0, 180.0])
    ids, phrases = tuple(range(PHRASES)), ("a phrase",) * PHRASES
    own = torch.arange(len(phrases))
    images = [RegionImage(row, None, SIZE, ids, phrases, boxes[row], own) for row in range(BATCH)]
    return model, maps, texts, images


def ours(path: Path, components: int) -> Work:
    import torch

    from misc.evaluation.pointing import score_images
    from misc.inference.batches import MappedBatch

    model, maps, texts, images = encoded(path)
    batch = MappedBatch(list(range(BATCH)), torch.empty(0), maps, [])

    def kernels(_: list[str]) -> torch.Tensor:
        return model.localization_kernels(texts.flatten(0, 1), components)

    @torch.inference_mode()
    def work():
        scored = score_images(images, [batch], kernels, SIGMA)
        return torch.cat([scores.hits for _, scores in scored if scores]).numpy()

    return work


def naive(path: Path, components: int) -> Work:
    import torch

    from benchmarks.naive_localization import heat_map, inside, peak, smooth

    model, maps, texts, images = encoded(path)
    weight = model.image_encoder.projection.weight
    centre = SIZE[0] / 2, SIZE[1] / 2

    @torch.inference_mode()
    def work():
        hits = []
        for image, image_maps, image_texts in zip(images, maps, texts, strict=True):
            for text, box in zip(image_texts, image.boxes.tolist(), strict=True):
                heat = heat_map(image_maps, weight, text, components)
                highest, corner = (peak(heat, SIZE, shift) for shift in (0.5, 0.0))
                points = [highest, corner, peak(smooth(heat, SIGMA), SIZE, 0.5), highest]
                points += [centre] * 2  # the only box is the largest
                hits.append([inside(point, box) for point in points])
        return torch.tensor(hits).numpy()

    return work


def main(args: argparse.Namespace) -> None:
    config = inputs.model_config(args.quick)
    with inputs.folder() as folder:
        path = inputs.save_model(folder, config)
        settings = {"path": path, "components": 18 if args.quick else 180}
        sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
        figures = measure(sides, rounds=5, agree=agreement.close(0))
    work = f"pointing game, {PHRASES} phrases an image, from its maps"
    report([Row.rates(work, "phrases/s", figures, BATCH * PHRASES, min_ratio=7)], args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
