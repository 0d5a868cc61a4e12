"""Curves of a training run, from its log.jsonl.

python -m misc.visualization curves runs/toy                   # writes runs/toy/curves.png
python -m misc.visualization curves runs/toy -o docs/curves.png
"""

import argparse
import json
from pathlib import Path

RECALLS = ("R@1", "R@5", "R@10")
DIRECTIONS = {"t2i": "caption → image", "i2t": "image → caption"}


def read_log(run: Path) -> list[dict[str, float]]:
    """Read the record of each epoch of a run.

    Raises:
        FileNotFoundError: if there is no such run, or no epoch of it has ended.
        ValueError: if the log is empty, or a line of it is no record; the message names it.
    """
    file = run / "log.jsonl"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: train.py writes it when the first epoch has ended")
    needed = {"epoch", "loss", "learning_rate"}
    needed |= {f"{direction}/{recall}" for direction in DIRECTIONS for recall in RECALLS}
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is not valid JSON: {error}") from error
        if not isinstance(record, dict) or not needed <= record.keys():
            raise ValueError(f"{file}, line {number} is not the record of an epoch: {line[:100]}")
        records.append(record)
    if not records:
        raise ValueError(f"{file} is empty: no epoch of the run has ended")
    return records


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m misc.visualization",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("picture", choices=("curves",), help="what to draw")
    parser.add_argument("run", type=Path, help="folder of the run, such as runs/toy")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the PNG; default: curves.png in the run"
    )
    return parser


def main(args: argparse.Namespace) -> Path:
    """Draw loss, recalls and learning rate over the epochs; return the picture's file."""
    from misc.pictures.panels import draw_curves
    from misc.runtime.files import replacing

    picture = draw_curves(read_log(args.run), args.run.resolve().name)
    file = args.output or args.run / "curves.png"
    with replacing(file) as temporary:
        picture.save(temporary, format="PNG")
    print(file)  # noqa: T201
    return file
