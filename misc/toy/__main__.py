"""Make the built-in toy set.

Pictures of emoji scenes with captions, masks and region phrases, in the file formats of COCO and
Visual Genome, and GloVe word vectors. It takes well under a minute and 130 MB. A set of the same
seed and size is left alone, any other one in its place is replaced. Prints the folder.

python -m misc.toy --root data --seed 0
"""

import argparse
import dataclasses
from pathlib import Path

from misc.cli import run
from misc.cli.options import script_parser
from misc.config import default_data_root
from misc.toy.dataset import SceneCounts, ensure_toy


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.toy")
    counts = SceneCounts()
    parser.add_argument(
        "--root",
        type=Path,
        default=default_data_root(),
        help="data root: the set goes to ROOT/toy; default: $DSVE_DATA, or data (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same set (%(default)s)")
    for split, count in dataclasses.asdict(counts).items():
        parser.add_argument(
            f"--{split}", type=int, default=count, help=f"scenes in the {split} split (%(default)s)"
        )
    return parser


def main(args: argparse.Namespace) -> Path:
    """Make the set, print its folder and return it."""
    folder = ensure_toy(args.root, args.seed, SceneCounts(args.train, args.val, args.test))
    print(folder)  # noqa: T201
    return folder


if __name__ == "__main__":
    run(main, get_parser())
