"""Seconds a step of one process with two threads, and of two processes with one thread each.

    python -m benchmarks.distributed

Both train the small model of ``inputs.py`` on the same 64 generated pairs a step, on the CPU; two
processes exchange embeddings and gradients through gloo. The two are measured in turns, A B A B.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.inputs import SMALL_MODEL, SMALL_TRAINING
from misc.data.training_batches import TrainingBatch
from misc.runtime import distributed
from misc.training.gradients import add_gradients
from misc.training.losses import HardNegativeLoss
from misc.training.steps import set_trainable
from models.joint_embedding import JointEmbedding

BATCH = 64  # pairs a step, of all processes
WORDS = 12  # of each caption
ALONE, TOGETHER = (1, 2), (2, 1)  # processes, and threads of each


def work(steps: int) -> None:
    """Train, as one of the processes; the main one prints the median seconds of a step."""
    model_config, config = SMALL_MODEL, SMALL_TRAINING
    torch.manual_seed(0)
    with distributed.process_group(torch.device("cpu")):
        model = JointEmbedding(model_config)
        set_trainable(model, config, epoch=0)
        parallel = distributed.parallel(model)
        optimizer = torch.optim.AdamW(model.parameters())
        own = BATCH // distributed.world_size()
        images = torch.randn(own, 3, config.crop_size, config.crop_size)
        vectors = torch.randn(own, WORDS, model_config.word_dim)
        image_ids = torch.arange(own) + own * distributed.rank()
        lengths = torch.full((own,), WORDS)
        batch = TrainingBatch(images, image_ids, vectors, lengths, torch.arange(own), [])
        seconds = []
        for step in range(steps + 2):
            start = time.perf_counter()
            optimizer.zero_grad()
            add_gradients(parallel, batch, HardNegativeLoss(), (step,))
            optimizer.step()
            seconds.append(time.perf_counter() - start)
        if distributed.is_main():
            print(json.dumps(statistics.median(seconds[2:])))  # after two to warm up


def measure(processes: int, threads: int, steps: int) -> float:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "benchmarks.distributed"]
    command += ["--worker", "--steps", str(steps)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.steps)
        return
    print("processes  threads   s/step   pairs/s")
    medians: dict[tuple[int, int], list[float]] = {ALONE: [], TOGETHER: []}
    for _ in range(args.rounds):
        for setup, seconds in medians.items():
            seconds.append(measure(*setup, args.steps))
            print(
                f"{setup[0]:9}{setup[1]:9}{seconds[-1]:9.3f}{BATCH / seconds[-1]:10.1f}", flush=True
            )
    ratio = statistics.median(medians[TOGETHER]) / statistics.median(medians[ALONE])
    print(f"two processes take {ratio:.2f} times as long as one with two threads")


if __name__ == "__main__":
    main()
