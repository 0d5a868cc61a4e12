import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from misc.runtime import loaders
from misc.runtime.loaders import read_ahead, workers_that_fit
from tests.conftest import SMALL_TRAINING

ROOT = Path(__file__).resolve().parents[2]

# Scripts whose workers raise what no item does: the collation of a batch fails.
BROKEN = """
import sys
import torch
from misc.cli import run
from misc.data import images, training_dataset

def broken(items):
    raise RuntimeError("planted")

images.collate_images = training_dataset.collate = broken
import {script}
run({script}.main, {script}.get_parser())
"""


@pytest.mark.parametrize(
    ("free", "fit"), [(64, 0), (2 * 60 + 50, 1), (2 * 60 + 60, 1), (10_000, 2)]
)
def test_workers_are_as_many_as_shared_memory_has_room_for(monkeypatch, caplog, free, fit):
    status = SimpleNamespace(f_bavail=free, f_frsize=1_000_000)
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    assert workers_that_fit(2, 40_000_000) == fit
    assert ("MB are free in /dev/shm; docker run --shm-size" in caplog.text) == (fit < 2)


def test_where_there_is_no_shared_memory_to_ask_all_workers_work(monkeypatch):
    monkeypatch.setattr(loaders, "SHARED_MEMORY", "/absent")
    assert workers_that_fit(3, 10**12) == 3


def test_things_are_read_in_order_one_ahead_and_what_is_raised_reaches_the_reader():
    read = []

    def reading(number):
        read.append(number)
        if number == 3:
            raise ValueError("three")
        return -number

    coming = read_ahead(reading, range(9))
    assert next(coming) == 0
    time.sleep(0.05)
    assert read == [0, 1]
    assert [next(coming), next(coming)] == [-1, -2]
    with pytest.raises(ValueError, match="three"):
        next(coming)
    assert list(read_ahead(reading, [])) == []


def start(script, arguments, torchrun=False):
    program = [sys.executable, "-c", BROKEN.format(script=script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if torchrun:
        file = arguments[-1] / "broken.py"
        file.write_text(BROKEN.format(script=script), encoding="utf-8")
        program = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        program += ["--nproc-per-node", "2", file]
        environment["PYTHONPATH"] = str(ROOT)
    command = [str(word) for word in [*program, *arguments[:-1]]]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("torchrun", [False, True])
def test_a_program_whose_worker_raises_ends_with_the_reason(toy_root, tmp_path, torchrun):
    options = f"{SMALL_TRAINING} -n x --workers 1 --runs {tmp_path} --data-root {toy_root}"
    began = time.monotonic()
    ended = start("train", [*options.split(), tmp_path], torchrun)
    assert time.monotonic() - began < 40  # it was for ever
    assert ended.returncode == 1
    assert "RuntimeError: planted" in ended.stderr
