"""What a GPU alone can show: is it as exact as the CPU, and how well is it used?

Results, gradients and random numbers are held against the CPU's; then evaluation and 50 steps of
training are timed, in the ways that there are. The exit status is 1 if a check fails.

python -m benchmarks.gpu_check
python -m benchmarks.gpu_check --device cpu --quick      # does the check itself work?
"""

import argparse
import dataclasses
import json
import sys

from benchmarks import inputs
from benchmarks.checks import Check, table
from benchmarks.gpu_evaluation import evaluation
from benchmarks.gpu_exactness import gradients, random_numbers, results
from benchmarks.gpu_training import pinned, training
from benchmarks.table import get_parser as table_parser
from misc.cli import run


def get_parser() -> argparse.ArgumentParser:
    parser = table_parser(__doc__ or "")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: cuda)")
    return parser


def main(args: argparse.Namespace) -> list[Check]:
    from misc.runtime.device import select_device

    device, checks = select_device(args.device), list[Check]()
    with inputs.folder() as folder:
        path = inputs.save_model(folder, inputs.model_config(args.quick))
        for part in (results, gradients, random_numbers, evaluation, training, pinned):
            checks += part(path, device, args.quick)
    print(table(checks))
    if args.json:
        args.json.write_text(json.dumps([dataclasses.asdict(check) for check in checks]))
    return checks


def check_and_exit(args: argparse.Namespace) -> None:
    if not all(check.ok for check in main(args)):
        sys.exit(1)


if __name__ == "__main__":
    run(check_and_exit, get_parser())
