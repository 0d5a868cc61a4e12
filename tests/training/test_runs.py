import json
import logging
from pathlib import Path

import pytest
import torch

from misc.checkpoints.checkpoint import read_checkpoint
from misc.config import TrainConfig
from misc.runtime.files import HOST
from misc.runtime.locks import locked
from misc.training import runs
from misc.training.runs import Progress, Run, moving_average, new_optimizer
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.training.small_runs import assert_same, run_train, weights


@pytest.fixture
def model():
    torch.manual_seed(0)
    return JointEmbedding(
        ModelConfig(backbone="resnet18", stages=1, embedding_dim=4, pool_k=2, word_dim=5)
    )


def test_each_part_has_its_factor_on_the_rate(model, tmp_path):
    config = TrainConfig(trunk_rate=0.1, text_rate=2.0)
    run = Run(tmp_path, config, model, new_optimizer(model, config), Progress())
    run.set_rate(0.5)
    rates = {
        parameter: group["lr"]
        for group in run.optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(rates) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        factor = 0.1 if "trunk" in name else 2.0 if "text" in name else 1.0
        assert rates[parameter] == pytest.approx(0.5 * factor), name


def test_the_average_is_the_recursion_with_a_decay_that_grows(model):
    average, twin = moving_average(model, 0.5), 0.0
    for step in range(8):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(float(step**2))
        decay = min(0.5, (1 + step) / (10 + step))
        twin = decay * twin + (1 - decay) * step**2
        average.update_parameters(model)
        for parameter in average.module.parameters():
            torch.testing.assert_close(parameter, torch.full_like(parameter, twin))
    assert 0 < twin < 49


def test_the_average_is_the_model_of_a_checkpoint_and_trains_nothing(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n averaged --epochs 1 --ema 0.9")
    run_train(toy_root, tmp_path, "-n plain --epochs 1")
    averaged, plain = (read_checkpoint(tmp_path / n / "last.pt") for n in ("averaged", "plain"))
    assert_same(averaged.training["trained"]["weights"], plain.state_dict)
    assert "trained" not in plain.training
    name = "image_encoder.convolution.weight"
    assert not torch.equal(averaged.state_dict[name], plain.state_dict[name])
    both = (json.loads((tmp_path / n / "log.jsonl").read_text()) for n in ("averaged", "plain"))
    assert len({record["i2t/mean_rank"] + record["t2i/mean_rank"] for record in both}) == 2


def test_a_resumed_run_equals_one_that_was_never_stopped(toy_root, tmp_path):
    options = "--ema 0.9 --clip-norm 0.5 --trunk-rate 0.1 --text-rate 0.5 --text-pooling gpo"
    options += " --cycle cosine --cycle-epochs 4 --image-pooling gpo"
    run_train(toy_root, tmp_path, f"-n whole --epochs 2 {options}")
    run_train(toy_root, tmp_path, f"-n parts --epochs 1 {options}")
    run_train(toy_root, tmp_path, f"-n parts --epochs 2 --resume {options}")
    whole, parts = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert_same(whole.state_dict, parts.state_dict)
    assert_same(whole.training["trained"]["weights"], parts.training["trained"]["weights"])
    steps = [checkpoint.training["trained"]["averaged_steps"] for checkpoint in (whole, parts)]
    assert steps[0] == steps[1] > 0
    assert whole.training["progress"] == parts.training["progress"]


def test_two_programs_do_not_train_the_same_run_at_once(toy_root, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(OSError, match="another program is at work in"):
        run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")


def test_a_save_that_is_cut_off_leaves_the_last_checkpoint_whole(toy_root, tmp_path, monkeypatch):
    run_train(toy_root, tmp_path, "-n run --epochs 1")
    before = weights(tmp_path / "run")

    def full_disk(content, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="disk full"):
        run_train(toy_root, tmp_path, "-n run --resume --epochs 2")
    assert_same(before, weights(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_processes_that_are_started_again_go_on_with_their_run_and_with_no_other(
    toy_root, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    options = "-n run --epochs 1 --max-batches 1"
    folder = tmp_path / "run"
    folder.mkdir()
    half_written = folder / f".dsve-{HOST}-999999999-0.tmp"
    half_written.write_bytes(b"half")
    with caplog.at_level(logging.INFO):
        run_train(toy_root, tmp_path, options)  # killed before the first checkpoint
        assert "resuming" not in caplog.text
        assert not half_written.exists()
        run_train(toy_root, tmp_path, options)
    assert "resuming" in caplog.text
    with pytest.raises(FileExistsError, match="--resume continues it"):
        run_train(toy_root, tmp_path, f"{options} --learning-rate 1e-4")


def test_processes_that_find_different_checkpoints_are_told_to_share_the_folder(
    toy_root, tmp_path, monkeypatch
):
    monkeypatch.setattr(runs, "gather_objects", lambda found: [found, (1, 0)])
    with pytest.raises(ValueError, match=r"\[\(0, 0\), \(1, 0\)\]; --runs must be a folder"):
        run_train(toy_root, tmp_path, "-n run --epochs 1")
