"""Peak memory and seconds of a training step on a batch as a whole, and in chunks of it.

    python -m benchmarks.chunked_batches

The small model of ``inputs.py`` takes one step on generated pairs on the CPU, in a process of its
own for each row. It needs Linux's /proc.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.inputs import SMALL_MODEL, SMALL_TRAINING
from misc.data.training_batches import TrainingBatch
from misc.training.gradients import add_gradients
from misc.training.losses import HardNegativeLoss
from misc.training.steps import set_trainable
from models.joint_embedding import JointEmbedding

WORDS = 12  # of each caption
CHUNK_SIZES = (0, 64, 16)  # 0 is the whole batch


def work(batch_size: int, chunk_size: int) -> None:
    """Take one step; print the process's peak memory in MB and the seconds that it took."""
    model_config, config = SMALL_MODEL, SMALL_TRAINING
    torch.manual_seed(0)
    model = JointEmbedding(model_config)
    set_trainable(model, config, epoch=0)
    images = torch.randn(batch_size, 3, config.crop_size, config.crop_size)
    vectors = torch.randn(batch_size, WORDS, model_config.word_dim)
    lengths, image_ids = torch.full((batch_size,), WORDS), torch.arange(batch_size)
    batch = TrainingBatch(images, image_ids, vectors, lengths, torch.arange(len(images)), [])
    start = time.perf_counter()
    add_gradients(model, batch, HardNegativeLoss(), (0,), chunk_size=chunk_size)
    seconds = time.perf_counter() - start
    # Not resource.getrusage, whose peak of a process begins with that of its parent.
    status = Path("/proc/self/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    print(json.dumps([int(peak) / 1024, seconds]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=512, help="default: %(default)s")
    parser.add_argument("--worker", type=int, metavar="CHUNK_SIZE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.batch_size, args.worker)
        return
    print("batch   chunk   peak MB   seconds   times less")
    peaks = []
    for chunk_size in CHUNK_SIZES:
        command = [sys.executable, "-m", "benchmarks.chunked_batches"]
        command += ["--batch-size", str(args.batch_size), "--worker", str(chunk_size)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        peak, seconds = json.loads(output)
        peaks.append(peak)
        print(
            f"{args.batch_size:5}{chunk_size or 'whole':>8}{peak:10.0f}{seconds:10.1f}"
            f"{peaks[0] / peak:13.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
