import os
import signal

import pytest
import torch

from misc.checkpoints.checkpoint import load_model, read_checkpoint
from misc.data.captions import read_captions
from misc.data.paths import data_paths
from misc.inference.encode import encode_images, encode_pairs
from misc.training import validation
from tests.training.small_runs import assert_same, run_train, weights


def test_a_signal_during_validation_loses_no_epoch(toy_root, tmp_path, monkeypatch):
    def interrupted_encoding(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return encode_pairs(*arguments, **options)

    monkeypatch.setattr(validation, "encode_pairs", interrupted_encoding)
    with pytest.raises(SystemExit, match="130"):
        run_train(toy_root, tmp_path, "-n run --epochs 3")
    progress = read_checkpoint(tmp_path / "run" / "last.pt").training["progress"]
    assert (progress["epoch"], progress["batch"]) == (0, 7)
    monkeypatch.undo()
    run_train(toy_root, tmp_path, "-n run --epochs 1 --resume")
    run_train(toy_root, tmp_path, "-n whole --epochs 1")
    assert_same(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("run", "whole")]
    assert logs[0] == logs[1]


def test_validation_images_are_kept_with_the_model_and_go_on_when_it_is_resumed(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n run --epochs 1")
    images = read_captions(data_paths(toy_root, "toy"), ("val",))
    for name in ("best.pt", "last.pt"):
        file = tmp_path / "run" / name
        embeddings, _, _ = encode_images(load_model(file), [one.path for one in images], 32, 8)
        reference = read_checkpoint(file).reference
        torch.testing.assert_close(reference, embeddings.half(), rtol=0, atol=2e-3)
    run_train(toy_root, tmp_path, "-n run --epochs 1 --resume")
    kept = read_checkpoint(tmp_path / "run" / "last.pt").reference
    torch.testing.assert_close(kept, reference, rtol=0, atol=0)
