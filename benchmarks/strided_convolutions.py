"""A training step of a small network, with and without strided convolutions in float32.

    python -m benchmarks.strided_convolutions
    python -m benchmarks.strided_convolutions --quick

Both compute in bfloat16 by autocast, in one process, and take turns; once alone, and once beside a
program that keeps a core busy, as workers do that read the next images.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from unittest import mock

from benchmarks.gpu_exactness import pair_batch
from benchmarks.sides import interleave
from benchmarks.table import Row, get_parser, report
from misc.cli import run

BUSY = [sys.executable, "-c", "while True: pass"]
LIMITS = {"alone": 0.85, "beside a busy core": 1.5}  # least ratio
EPOCH = 0


@contextlib.contextmanager
def a_busy_core() -> Iterator[None]:
    process = subprocess.Popen(BUSY)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def steps(batch_size: int) -> dict[str, Callable[[], float]]:
    """Make the step that is timed, as it is and as autocast alone would have it."""
    import torch

    from benchmarks.inputs import SMALL_MODEL, SMALL_TRAINING
    from misc.training.gradients import add_gradients
    from misc.training.losses import HardNegativeLoss
    from misc.training.steps import set_trainable
    from models.joint_embedding import JointEmbedding

    torch.manual_seed(0)
    settings, config = SMALL_MODEL, SMALL_TRAINING
    model = JointEmbedding(settings)
    set_trainable(model, config, EPOCH)
    batch = pair_batch(batch_size, config.crop_size, settings.word_dim)

    def seconds() -> float:
        model.zero_grad()
        start = time.perf_counter()
        add_gradients(model, batch, HardNegativeLoss(), (0,), "bfloat16")
        return time.perf_counter() - start

    def rounded() -> float:
        name = "misc.runtime.device.ExactStridedConvolutions"
        with mock.patch(name, contextlib.nullcontext):
            return seconds()

    return {"ours": seconds, "naive": rounded}


def main(args: argparse.Namespace) -> None:
    batch_size, rounds = (4, 1) if args.quick else (64, 9)
    from misc.runtime.device import use_fast_products

    use_fast_products()
    rows, both = [], steps(batch_size)
    interleave(both, 1)  # kernels are made at their first use
    for place, limit in LIMITS.items():
        with a_busy_core() if place != "alone" else contextlib.nullcontext():
            seconds = interleave(both, rounds)
        work = f"toy step, batch {batch_size}, bfloat16, {place}"
        ours, naive = (batch_size / seconds[name] for name in ("ours", "naive"))
        rows.append(Row(work, "images/s", ours, naive, min_ratio=limit))
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
