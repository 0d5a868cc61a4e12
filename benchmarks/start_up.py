"""Start-up: the help of a script, and the first batch of a saved ResNet-152 model.

python -m benchmarks.start_up
python -m benchmarks.start_up --quick
"""

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks import inputs
from benchmarks.table import Row, get_parser, report
from misc.cli import run

FIRST_BATCH = """
import sys, torch
from misc.checkpoints.checkpoint import load_model
model = load_model(sys.argv[1])
with torch.inference_mode():
    model.encode_image(torch.zeros(8, 3, int(sys.argv[2]), int(sys.argv[2])))
"""


def seconds(*command: object) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(args: argparse.Namespace) -> None:
    config, size = inputs.model_config(args.quick), 128 if args.quick else 400
    help_seconds = statistics.median(seconds("eval_retrieval.py", "--help") for _ in range(5))
    with inputs.folder() as folder:
        path = inputs.save_model(folder, config)
        first = statistics.median(seconds("-c", FIRST_BATCH, path, size) for _ in range(3))
    rows = [
        Row("eval_retrieval.py --help", "s", help_seconds, max_ours=1),
        Row(f"first batch of a saved {config.backbone}, from the start", "s", first, max_ours=10),
    ]
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
