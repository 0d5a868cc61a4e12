import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from misc.checkpoints.checkpoint import read_checkpoint
from misc.data.caption_phrases import CaptionPhrases
from misc.data.captioned_images import CaptionedImage
from misc.data.training_batches import collate
from misc.runtime.failures import Failure
from misc.training import loop as training
from misc.training import runs
from misc.training.steps import train_step
from tests.conftest import SMALL_TRAINING
from tests.training.small_runs import assert_same, run_train, weights

REPOSITORY = Path(__file__).resolve().parents[2]


def test_two_epochs_a_resume_and_two_more_equal_four_epochs_weight_for_weight(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n whole --epochs 4")
    run_train(toy_root, tmp_path, "-n parts --epochs 2")
    assert not torch.equal(
        weights(tmp_path / "whole")["image_encoder.convolution.weight"],
        weights(tmp_path / "parts")["image_encoder.convolution.weight"],
    )
    run_train(toy_root, tmp_path, "-n parts --epochs 4 --resume")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["epoch"] for line in logs[0].splitlines()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "of",
    [
        "",
        " --images-per-batch 3 --captions-per-image 2 --ema 0.9",
        " --images-per-batch 3 --location-weight 0.5 --location-phrases 2",
    ],
)
def test_a_run_stopped_by_a_signal_in_mid_epoch_resumes_exactly(
    toy_root, tmp_path, monkeypatch, of
):
    run_train(toy_root, tmp_path, f"-n whole --epochs 2{of}")
    steps = []

    def interrupting_step(*arguments):
        steps.append(1)
        if len(steps) == (11 if of else 10):  # the third batch of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(*arguments)

    monkeypatch.setattr(training, "train_step", interrupting_step)
    with pytest.raises(SystemExit, match="143"):
        run_train(toy_root, tmp_path, f"-n parts --epochs 2{of}")
    assert len(steps) == (11 if of else 10)
    progress = read_checkpoint(tmp_path / "parts" / "last.pt").training["progress"]
    assert (progress["epoch"], progress["batch"]) == (1, 3)
    run_train(toy_root, tmp_path, f"-n parts --resume --epochs 2{of}")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_a_run_killed_in_any_instant_resumes_from_the_last_whole_checkpoint(toy_root, tmp_path):
    command = [sys.executable, "train.py", *SMALL_TRAINING.split(), "-n", "killed"]
    command += ["--data-root", str(toy_root), "--runs", str(tmp_path), "--epochs", "4"]
    # As many threads as here: sums over another number of parts differ in the last bits.
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    last = tmp_path / "killed" / "last.pt"
    while not last.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    epoch = read_checkpoint(last).training["progress"]["epoch"]
    assert epoch >= 1
    run_train(toy_root, tmp_path, f"-n killed --resume --epochs {epoch + 1 if epoch < 4 else 4}")
    run_train(toy_root, tmp_path, f"-n whole --epochs {epoch + 1 if epoch < 4 else 4}")
    assert_same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_run_killed_within_an_epoch_goes_on_from_the_last_checkpoint_within_it(
    toy_root, tmp_path, monkeypatch
):
    run_train(toy_root, tmp_path, "-n whole --epochs 1")

    def killing_step(run, *arguments):
        if run.progress.batch == 4:
            raise KeyboardInterrupt
        return train_step(run, *arguments)

    monkeypatch.setattr(training, "train_step", killing_step)
    with pytest.raises(KeyboardInterrupt):
        run_train(toy_root, tmp_path, "-n parts --epochs 1 --checkpoint-every 0")
    progress = read_checkpoint(tmp_path / "parts" / "last.pt").training["progress"]
    assert (progress["batch"], progress["drawn"], progress["pairs"]) == (4, 64, 64)
    monkeypatch.setattr(training, "train_step", train_step)
    run_train(toy_root, tmp_path, "-n parts --resume --epochs 1")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_checkpoint_within_an_epoch_is_written_when_it_is_due_and_not_before(
    toy_root, tmp_path, monkeypatch
):
    saved = []
    monkeypatch.setattr(runs.Run, "save", lambda run, name: saved.append(name))
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 3")
    assert saved == ["best.pt", "last.pt"]
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 3 --checkpoint-every 0")
    assert saved[2:] == ["last.pt"] * 3 + ["best.pt", "last.pt"]


def test_a_batch_of_which_nothing_can_be_read_has_the_shapes_of_others(caplog):
    phrases = CaptionPhrases([CaptionedImage(1, Path("1.jpg"), ("a dog in the snow",))])
    nothing = collate([Failure(0, "1.jpg", "1.jpg: no image")])
    (batch,) = training.readable([nothing], 32, 5, phrases)
    assert "left out: 1.jpg: no image" in caplog.text
    assert (len(batch), batch.images.shape, batch.vectors.shape) == (0, (0, 3, 32, 32), (0, 1, 5))
    assert batch.things is not None
    assert [tensor.shape for tensor in batch.things] == [(0,), (0, 2)]
