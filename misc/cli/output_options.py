"""Options of what scripts write: files of features, and tables of what was scored."""

import argparse
from pathlib import Path

from misc.cli.arguments import positive
from misc.cli.scripts import LEFT_OUT_STATUS


def output_options(default: str) -> argparse.ArgumentParser:
    """Parent parser of the scripts that extract features: where and how embeddings are written.

    Args:
        default: name of the file that is written without ``-o``.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(
        "output", f"The exit status is {LEFT_OUT_STATUS} when an item had to be left out."
    )
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(default),
        metavar="FILE",
        help="file of embeddings, .npz, .npy, .parquet or .pkl (default: %(default)s); what is "
        "left out is listed with reasons in FILE.errors.jsonl. A name without a suffix is a folder "
        "of .parquet parts: a run that was stopped goes on there, and under torchrun each process "
        "writes its own",
    )
    _add_part_options(group)
    group.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the file (default: %(default)s)",
    )
    group.add_argument("--force", action="store_true", help="overwrite an existing file")
    group.add_argument(
        "--strict", action="store_true", help="stop at the first item that cannot be embedded"
    )
    return parser


def _add_part_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shard-size",
        type=positive,
        default=50_000,
        metavar="N",
        help="rows of a part in a folder (default: %(default)s)",
    )
    group.add_argument(
        "--verify",
        action="store_true",
        help="only compare the folder -o with its manifest; nothing else is needed then",
    )


def add_table(parser: argparse.ArgumentParser, flag: str, rows: str) -> None:
    """Add the option that names a table of what was scored, for whoever wants to check it.

    Args:
        parser: of the script.
        flag: of the option.
        rows: what a row holds.
    """
    parser.add_argument(
        flag,
        type=Path,
        metavar="FILE",
        help=f"write {rows} to this file, .csv or .parquet; python -m misc.pictures failures FILE "
        "shows the worst",
    )
