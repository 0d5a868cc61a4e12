"""Pictures of what a training run logged.

python -m misc.pictures curves runs/toy                   # writes runs/toy/curves.png
python -m misc.pictures curves runs/toy -o docs/curves.png
"""

import argparse
from pathlib import Path

from misc.cli import run
from misc.cli.options import script_parser


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.pictures")
    commands = parser.add_subparsers(required=True, metavar="curves")
    command = commands.add_parser("curves", help="loss, learning rate and recalls over the epochs")
    command.add_argument("run", type=Path, help="folder of the run, such as runs/toy")
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the PNG; default: curves.png in the run"
    )
    return parser


def main(args: argparse.Namespace) -> Path:
    """Draw loss, recalls and learning rate over the epochs; return the picture's file."""
    from misc.pictures.curves import draw_curves, read_log
    from misc.pictures.png import save_png

    picture = draw_curves(read_log(args.run), args.run.resolve().name)
    file: Path = args.output or args.run / "curves.png"
    save_png(picture, file)
    print(file)  # noqa: T201
    return file


if __name__ == "__main__":
    run(main, get_parser())
