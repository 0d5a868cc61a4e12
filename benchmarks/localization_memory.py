"""Peak memory of localising in 200 and in 2,000 images; it should be the same.

    python -m benchmarks.localization_memory

The images are toy scenes drawn for this, with their phrases and outlines; each script runs in a
process of its own for each number of images. The model is small but random, so the results mean
nothing. It needs Linux's /proc.
"""

import argparse

from benchmarks import inputs
from benchmarks.memory import run_script
from benchmarks.table import Row, get_parser, report
from misc.cli import run
from models.config import ModelConfig

SCRIPTS: dict[str, list[object]] = {
    "pointing_game": ["-k", 180],
    "semantic_seg": ["--split", "test"],
}


def main(args: argparse.Namespace) -> None:
    from misc.toy.dataset import SceneCounts, ensure_toy

    counts, rows = (20, 60) if args.quick else (200, 2000), []
    with inputs.folder() as root:
        ensure_toy(root, counts=SceneCounts(train=1, val=1, test=max(counts)))
        model = inputs.save_model(
            root, ModelConfig("resnet18", 3, 256, 12, word_dim=50, sru_layers=2)
        )
        for script, options in SCRIPTS.items():
            peaks: list[float] = []
            for count in counts:
                arguments = ["-p", model, "--data-root", root, "--dataset", "toy", *options]
                output, peak = run_script(script, [*arguments, "--limit", count, "--device", "cpu"])
                assert f"{count} of {count} images" in output, output
                peaks.append(peak)
            rows.append(Row.growth(script, counts, peaks))
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
