"""Peak memory of extracting the features of 1,000 and of 10,000 images; it should be the same.

    python -m benchmarks.extraction_memory

Images of 64 pixels are generated, and a small model (ResNet-18 of two stages, 2,400 dimensions,
as many as the published one has) embeds them in a process of its own for each number of images.
It needs Linux's /proc.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import inputs
from benchmarks.memory import run_script
from benchmarks.table import Row, get_parser, report
from misc.cli import run
from models.config import ModelConfig

SUFFIXES = (".npz", ".npy", ".parquet")
PIXELS = 64


def make_lists(folder: Path, counts: Sequence[int]) -> None:
    """Draw images, and write a list of so many of them for each count."""
    import numpy as np
    from PIL import Image

    generator, paths = np.random.default_rng(0), []
    for number in range(max(counts)):
        paths.append(folder / f"{number:05}.jpg")
        pixels = generator.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    for count in counts:
        (folder / f"{count}.txt").write_text("".join(f"{path}\n" for path in paths[:count]))


def main(args: argparse.Namespace) -> None:
    counts, rows = (50, 100) if args.quick else (1000, 10000), []
    with inputs.folder() as folder:
        model = inputs.save_model(
            folder, ModelConfig("resnet18", 2, 2400, 2, word_dim=3, sru_layers=1)
        )
        make_lists(folder, counts)
        for suffix in SUFFIXES:
            peaks = []
            for count in counts:
                arguments = ["-p", model, "-d", folder / f"{count}.txt", "--device", "cpu"]
                arguments += ["-o", folder / f"{count}{suffix}", "--image-size", PIXELS]
                _, peak = run_script("image_features_extraction", [*arguments, "-bs", 32])
                peaks.append(peak)
            rows.append(Row.growth(f"image_features_extraction, {suffix}", counts, peaks))
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
