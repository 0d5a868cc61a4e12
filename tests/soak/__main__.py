"""Throw odd files, captions and kills at every script for some minutes, and count.

python -m tests.soak --minutes 10
python -m tests.soak --trial images --seed 17      # one trial again, that a summary named
"""

import argparse
import collections
import dataclasses
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from misc.checkpoints.checkpoint import save_checkpoint
from misc.toy.dataset import SceneCounts, ensure_toy
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.soak.commands import execute, import_everything
from tests.soak.trials import TRIALS
from tests.soak.world import EVALUATIONS, World, evaluation


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial (default: 0)")
    parser.add_argument("--trial", choices=TRIALS, help="only this one, once, with --seed")
    return parser


def make_world(folder: Path) -> World:
    torch.manual_seed(0)
    ensure_toy(folder / "data", counts=SceneCounts(train=8, val=12, test=8))
    embeddings = [folder / f"embeddings{suffix}" for suffix in (".npz", ".parquet", ".npy")]
    world = World(folder / "data", folder / "model.pt", embeddings)
    config = ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1, input_size=128)
    model = JointEmbedding(dataclasses.replace(config, localization_size=128))
    save_checkpoint(world.model, model, {"config": {"word_vectors": "glove", "dataset": "toy"}})
    for file in world.embeddings:
        options = ["-p", world.model, "-d", world.photographs, "-o", file, *world.common]
        outcome = execute("image_features_extraction", options, folder / "log")
        if outcome.status:
            raise RuntimeError(outcome.output)
    for script in EVALUATIONS:
        outcome, counts = evaluation(world, script, world.root, folder)
        if outcome.status or counts is None:
            raise RuntimeError(outcome.output)
        world.counts[script] = sum(counts)
    return world


def main(args: argparse.Namespace) -> int:
    """Run trials in turn until the time is up; the number of violations is returned."""
    end = time.monotonic() + 60 * args.minutes
    inputs: collections.Counter[str] = collections.Counter()
    violations: list[str] = []
    names, seed = [args.trial] if args.trial else list(TRIALS), args.seed
    import_everything()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as place:
        world = make_world(Path(place))
        while time.monotonic() < end:
            name = names[(seed - args.seed) % len(names)]
            with tempfile.TemporaryDirectory(dir=place) as folder:
                result = TRIALS[name](world, Path(folder), random.Random(seed))
            inputs[name] += result.inputs
            for violation in result.violations:
                violations.append(f"--trial {name} --seed {seed}: {violation}")
                print(violations[-1], file=sys.stderr, flush=True)  # noqa: T201
            seed += 1
            if args.trial:
                break
    for name, count in inputs.items():
        print(f"{name:<50}{count:>8}")  # noqa: T201
    for ending, count in sorted(world.statuses.items()):
        print(f"{ending:<50}{count:>8}")  # noqa: T201
    print(f"{inputs.total()} bad inputs, {len(violations)} violations")  # noqa: T201
    for violation in violations:
        print(violation)  # noqa: T201
    return len(violations)


if __name__ == "__main__":
    sys.exit(1 if main(get_parser().parse_args()) else 0)
