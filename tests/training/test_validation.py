import os
import signal

import pytest

from misc.checkpoints.checkpoint import read_checkpoint
from misc.inference.encode import encode_pairs
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
