"""Trainings of a second, and their weights."""

import torch

import train
from misc.checkpoints.checkpoint import read_checkpoint
from tests.conftest import SMALL_TRAINING


def run_train(toy_root, runs, options):
    command = [*SMALL_TRAINING.split(), *options.split()]
    command += ["--data-root", str(toy_root), "--runs", str(runs)]
    return train.main(train.get_parser().parse_args(command))


def weights(run):
    return read_checkpoint(run / "last.pt").state_dict


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
