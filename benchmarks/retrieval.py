"""Retrieval metrics: 5,000 images and 25,000 captions of 2,400 dimensions, both directions.

python -m benchmarks.retrieval
python -m benchmarks.retrieval --quick
"""

import argparse
from typing import Any

from benchmarks import agreement
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, memories, report
from misc.cli import run

CAPTIONS = 5  # of an image
KEYS = ("R@1", "R@5", "R@10", "median_rank")


def embeddings(count: int, dimension: int) -> Any:
    """Make unit rows whose captions are so noisy that about half of them find their image."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    rows = torch.arange(count).repeat_interleave(CAPTIONS)
    images = F.normalize(torch.randn(count, dimension), dim=1)
    noise = torch.randn(len(rows), dimension)
    return images, F.normalize(images[rows] + noise.mul_(0.3), dim=1), rows


def ours(count: int, dimension: int) -> Work:
    from misc.evaluation.retrieval import DIRECTIONS, retrieval_metrics

    pairs = embeddings(count, dimension)

    def work():
        metrics = retrieval_metrics(*pairs)
        return [metrics[f"{direction}/{key}"] for direction in DIRECTIONS for key in KEYS]

    return work


def naive(count: int, dimension: int) -> Work:
    from benchmarks.naive import retrieval_metrics

    pairs = embeddings(count, dimension)
    return lambda: retrieval_metrics(*pairs)


def main(args: argparse.Namespace) -> None:
    count, dimension = (500, 256) if args.quick else (5000, 2400)
    settings = {"count": count, "dimension": dimension}
    sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
    # Products that are rounded otherwise may move a close pair: two captions in 25,000.
    figures = measure(sides, rounds=3, agree=agreement.close(0.05))
    work = f"retrieval metrics, {count:,} × {CAPTIONS * count:,} × {dimension:,}"
    ours_took, naive_took = figures.seconds["ours"], figures.seconds["naive"]
    limits: dict[str, Any] = {"min_ratio": 2.5, "max_extra": 0.6}
    report([Row(work, "s", ours_took, naive_took, **memories(figures), **limits)], args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
