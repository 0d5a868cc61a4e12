"""Look after what trainings keep on disk.

python -m misc.training caches           # maps and states of frozen networks, and who uses them
python -m misc.training caches --remove  # remove those that no run uses
"""

import argparse
from pathlib import Path

from misc.cli import run
from misc.cli.options import script_parser


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.training")
    commands = parser.add_subparsers(required=True, metavar="caches")
    command = commands.add_parser("caches", help="list or remove what is cached of frozen networks")
    command.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder of all runs (default: %(default)s)"
    )
    command.add_argument("--remove", action="store_true", help="remove those that no run uses")
    return parser


def main(args: argparse.Namespace) -> dict[str, list[str]]:
    """List the caches, maybe remove some, and return the runs that use each."""
    from misc.training.feature_cache import cache_users, remove_cache

    users = cache_users(args.runs)
    for cache, runs in users.items():
        size = sum(file.stat().st_size for file in cache.iterdir()) / 1e9
        removed = args.remove and not runs
        used = f"used by {', '.join(runs)}" if runs else "used by no run"
        print(f"{cache}: {size:.1f} GB, {used}{', removed' if removed else ''}")  # noqa: T201
        if removed:
            remove_cache(cache)
    return {str(cache): runs for cache, runs in users.items()}


if __name__ == "__main__":
    run(main, get_parser())
