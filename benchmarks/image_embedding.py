"""Image embedding: ResNet-152 at 400 x 400 pixels, in batches of 8 and of 16.

python -m benchmarks.image_embedding
python -m benchmarks.image_embedding --quick
"""

import argparse
from pathlib import Path

from benchmarks import agreement, inputs
from benchmarks.peak import convolutions, image_operations
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, memories, report
from misc.cli import run

# Least ratio, least share of the machine's peak, and least cosine to the twin, which is float32.
# Random weights round worse than trained ones; different images have a cosine of 0.97.
LIMITS = {"float32": (1.8, 0.75, 0.99999), "bfloat16": (3.3, 0.8, 0.995)}


def ours(path: Path, batch: int, size: int, precision: str) -> Work:
    import torch

    from misc.checkpoints.checkpoint import load_model
    from misc.inference.acceleration import accelerate

    model = accelerate(load_model(path), precision)
    images = torch.from_numpy(inputs.pixels(batch, size))

    @torch.inference_mode()
    def work():
        return model.encode_image(images).numpy()

    return work


def naive(path: Path, batch: int, size: int) -> Work:
    import torch

    from benchmarks.naive import NaiveImageEncoder
    from misc.checkpoints.checkpoint import load_model

    encoder, images = (
        NaiveImageEncoder(load_model(path)),
        torch.from_numpy(inputs.pixels(batch, size)),
    )

    @torch.inference_mode()
    def work():
        return encoder(images).numpy()

    return work


def measure_batch(path: Path, batch: int, size: int, precision: str, operations: float) -> Row:
    min_ratio, min_share, cosine = LIMITS[precision]
    settings = {"path": path, "batch": batch, "size": size}
    sides = {
        "ours": Side(ours, {**settings, "precision": precision}),
        "naive": Side(naive, settings),
        "peak": Side(convolutions, {"precision": precision}),
    }
    figures = measure(sides, rounds=5, agree=agreement.cosine(cosine))
    rate = batch / figures.seconds["ours"]
    return Row(
        f"image embedding, {size}², batch {batch}, {precision}",
        "images/s",
        rate,
        batch / figures.seconds["naive"],
        share=rate * operations / (figures.results["peak"] / figures.seconds["peak"]),
        **memories(figures),
        min_ratio=min_ratio,
        min_share=min_share,
    )


def main(args: argparse.Namespace) -> None:
    config, size = inputs.model_config(args.quick), 128 if args.quick else 400
    operations = image_operations(config, size)
    with inputs.folder() as folder:
        path = inputs.save_model(folder, config)
        rows = [
            measure_batch(path, batch, size, precision, operations)
            for precision in LIMITS
            for batch in ((8,) if args.quick else (8, 16))
        ]
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
