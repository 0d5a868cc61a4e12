"""Evaluation end to end: decode, encode and score images with five captions each.

python -m benchmarks.evaluation
python -m benchmarks.evaluation --quick
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run

CAPTIONS = 5  # of an image
BATCH = 8
WORKERS = 2


def captioned(paths: list[Path]) -> Any:
    from misc.data.captioned_images import CaptionedImage

    texts = inputs.captions(CAPTIONS * len(paths))
    return texts, [
        CaptionedImage(number, path, tuple(texts[CAPTIONS * number :][:CAPTIONS]))
        for number, path in enumerate(paths)
    ]


def ours(model: Path, photographs: list[Path], size: int) -> Work:
    import torch

    from misc.checkpoints.checkpoint import load_model
    from misc.evaluation.retrieval import retrieval_metrics
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import encode_pairs

    fast = accelerate(load_model(model))
    texts, images = captioned(photographs)
    words = inputs.word_vectors(texts, fast.config.word_dim)

    def work():
        embedded, captions, rows = encode_pairs(fast, images, words, size, BATCH, WORKERS)
        retrieval_metrics(embedded, captions, rows)
        return torch.cat([embedded[rows], captions]).numpy()

    return work


def naive(model: Path, photographs: list[Path], size: int) -> Work:
    import torch

    from benchmarks.naive import (
        NaiveImageEncoder,
        NaiveTextEncoder,
        encode_pairs,
        retrieval_metrics,
    )
    from misc.checkpoints.checkpoint import load_model

    loaded = load_model(model)
    encoders = NaiveImageEncoder(loaded), NaiveTextEncoder(loaded)
    texts, images = captioned(photographs)
    words = inputs.word_vectors(texts, loaded.config.word_dim)

    @torch.inference_mode()
    def work():
        pairs = encode_pairs(*encoders, images, words, size, BATCH, WORKERS)
        rows = torch.arange(len(images)).repeat_interleave(CAPTIONS)
        retrieval_metrics(pairs[0][::CAPTIONS], pairs[1], rows)
        return torch.cat(pairs).numpy()

    return work


def main(args: argparse.Namespace) -> None:
    count, size = (8, 128) if args.quick else (32, 400)
    with inputs.folder() as folder:
        settings = {
            "model": inputs.save_model(folder, inputs.model_config(args.quick)),
            "photographs": inputs.photographs(folder, count),
            "size": size,
        }
        sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
        figures = measure(sides, rounds=3, agree=agreement.cosine(0.99999))
    work = f"evaluation end to end, {size}², {CAPTIONS} captions an image, float32"
    report([Row.rates(work, "images/s", figures, count, min_ratio=8)], args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
