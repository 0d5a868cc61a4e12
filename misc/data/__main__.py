"""Say which data are there, and where to get the others.

One line for each split of each data set: how many of the photographs that it lists are there, and
how many captions and boxes belong to it. Photographs are looked for by name, and not opened.

python -m misc.data --data-root data
"""

import argparse
import textwrap
from pathlib import Path

from misc.cli import run
from misc.cli.options import script_parser
from misc.config import default_data_root
from misc.data.holdings import Holding
from misc.data.inventory import WORDS, Inventory, take_inventory

NAME, WIDTH = 20, 96  # characters of the column of names, and of a line


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.data")
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds the data sets; default: $DSVE_DATA, or data (here: %(default)s)",
    )
    return parser


def report(inventory: Inventory) -> str:
    """Lay out what is there as a table, and below it what is missing, with where to get it."""
    lines = []
    if inventory.holdings:
        columns = ("data set", "split", "photographs", "captions", "boxes")
        lines += [_line(*columns), *map(_holding, inventory.holdings)]
    if inventory.word_vectors:
        lines.append(f"{WORDS}: {inventory.word_vectors}")
    if not lines:
        lines.append("none of the data sets is there, and no word vectors are")
    if inventory.missing:
        lines += ["", "missing, and where to get it (more sources in data/README.md):"]
        lines += [_missing(name, text) for name, text in inventory.missing]
    return "\n".join(lines)


def _holding(holding: Holding) -> str:
    of = f" of {holding.listed:,}" if holding.listed is not None else ""
    counts = (
        f"{count:,}" if count is not None else "" for count in (holding.captions, holding.boxes)
    )
    return _line(holding.dataset, holding.split, f"{holding.found:,}{of}", *counts)


def _missing(name: str, text: str) -> str:
    indent = " " * NAME
    return textwrap.fill(
        f"{name:<{NAME}}{text}", WIDTH, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False, drop_whitespace=True,
    )  # fmt: skip


def _line(dataset: str, split: str, photographs: str, captions: str, boxes: str) -> str:
    return f"{dataset:<{NAME}}{split:<26}{photographs:>20}{captions:>12}{boxes:>12}"


def main(args: argparse.Namespace) -> Inventory:
    """Look, print what is there and what is not, and return it."""
    inventory = take_inventory(args.data_root)
    there = "" if args.data_root.is_dir() else ", which is not there"
    print(f"data root {args.data_root}{there}\n{report(inventory)}")  # noqa: T201
    return inventory


if __name__ == "__main__":
    run(main, get_parser())
