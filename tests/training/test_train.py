import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train
from misc.checkpoints.checkpoint import load_model, read_checkpoint
from misc.config import TrainConfig
from misc.presets import PRESETS
from misc.runtime.locks import locked
from misc.toy.dataset import SceneCounts, ensure_toy
from misc.training import image_weights, runs, validation
from misc.training import loop as training
from misc.training import losses as loss
from misc.training.schedules import learning_rate
from misc.training.settings import check_settings
from misc.training.steps import set_trainable
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.conftest import SMALL_TRAINING

REPOSITORY = Path(__file__).resolve().parents[2]


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


def test_a_run_stopped_by_a_signal_in_mid_epoch_resumes_exactly(toy_root, tmp_path, monkeypatch):
    run_train(toy_root, tmp_path, "-n whole --epochs 2")
    steps, step = [], training.train_step

    def interrupting_step(*arguments):
        steps.append(1)
        if len(steps) == 10:  # the third batch of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(training, "train_step", interrupting_step)
    with pytest.raises(SystemExit, match="143"):
        run_train(toy_root, tmp_path, "-n parts --epochs 2")
    assert len(steps) == 10
    progress = read_checkpoint(tmp_path / "parts" / "last.pt").training["progress"]
    assert (progress["epoch"], progress["batch"]) == (1, 3)
    run_train(toy_root, tmp_path, "-n parts --resume")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_a_signal_during_validation_loses_no_epoch(toy_root, tmp_path, monkeypatch):
    def interrupted_encoding(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return encode_pairs(*arguments, **options)

    encode_pairs = validation.encode_pairs
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


def test_two_programs_do_not_train_the_same_run_at_once(toy_root, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(OSError, match="another program is at work in"):
        run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")


def test_the_number_of_workers_changes_no_weight(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n none --epochs 1 --max-batches 2")
    run_train(toy_root, tmp_path, "-n two --epochs 1 --max-batches 2 --workers 2")
    assert_same(weights(tmp_path / "none"), weights(tmp_path / "two"))


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


def test_a_collapsed_run_is_warned_of_with_the_remedy(toy_root, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loss.CollapseMonitor.__init__, "__defaults__", (5,))
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        monkeypatch.setattr(
            JointEmbedding, "forward", lambda model, images, *text: collapsed(model, len(images))
        )
        monkeypatch.setattr(torch.Tensor, "backward", lambda tensor: None)
        run_train(toy_root, tmp_path, "-n run --epochs 2 --warmup-epochs 0")
    assert sum("collapsed" in record.message for record in caplog.records) == 1
    assert "--warmup-epochs" in caplog.text


def collapsed(model, batch):
    same = torch.full((batch, 16), 0.25)
    return same, same


def test_a_loss_that_is_not_finite_stops_the_run_with_the_images_and_saves_nothing(
    toy_root, tmp_path, monkeypatch
):
    run_train(toy_root, tmp_path, "-n run --epochs 1")
    before = weights(tmp_path / "run")
    monkeypatch.setattr(
        loss.SoftmaxLoss, "forward", lambda self, images, *a: images.sum() * torch.nan
    )
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 0, with the images \[\d+, "):
        run_train(toy_root, tmp_path, "-n run --resume --epochs 2")
    assert_same(before, weights(tmp_path / "run"))


def test_an_unreadable_training_image_is_left_out_and_named(tmp_path, caplog):
    ensure_toy(tmp_path, counts=SceneCounts(train=8, val=4, test=1))
    images = tmp_path / "toy" / "coco" / "images" / "train2014"
    broken = next(images.iterdir())
    broken.write_bytes(b"no image")
    run_train(tmp_path, tmp_path, "-n run --epochs 1")
    assert f"left out: cannot read image {broken}" in caplog.text
    for image in images.iterdir():
        image.unlink()
    with pytest.raises(ValueError, match="no image of a batch can be read"):
        run_train(tmp_path, tmp_path, "-n other --epochs 1")


def test_best_is_the_epoch_of_the_highest_rsum_and_loads_as_a_model(toy_root, tmp_path):
    results = run_train(toy_root, tmp_path, f"-n run --epochs 3 --json {tmp_path}/results.json")
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    best = read_checkpoint(tmp_path / "run" / "best.pt").training["progress"]
    rsums = [record["rsum"] for record in records]
    assert best["best_rsum"] == results["best_rsum"] == max(rsums)
    assert best["epoch"] == rsums.index(max(rsums)) + 1
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert not load_model(tmp_path / "run" / "best.pt").training
    assert list((tmp_path / "run").glob("events.out.tfevents*"))


def test_the_rate_of_the_paper_is_a_function_of_the_epoch():
    rates = [learning_rate(TrainConfig(), epoch) for epoch in range(10)]
    expected = [1e-3, 1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 3.125e-5, 3.125e-5]
    assert rates == pytest.approx(expected)


def test_one_cycle_rises_to_the_highest_rate_and_falls_to_nothing():
    config = TrainConfig(cycle_epochs=10, learning_rate=1.0)
    rates = [learning_rate(config, epoch / 10) for epoch in range(101)]
    assert max(rates) == rates[20] == 1
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[100] == pytest.approx(0)


def trainable(epoch, **settings):
    model = JointEmbedding(ModelConfig("resnet18", 4, 8, 1, word_dim=4, sru_layers=1))
    set_trainable(model, TrainConfig(**settings), epoch)
    return model, {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_paper_trains_the_affine_then_the_text_then_the_late_stages():
    affine = {"image_encoder.projection.weight", "image_encoder.projection.bias"}
    for epoch in (0, 1):
        assert trainable(epoch)[1] == affine
    for epoch in (2, 8):
        names = trainable(epoch)[1] - affine
        assert names
        assert all(name.startswith("text_encoder") for name in names)
        assert "text_encoder.sru.rnn_lst.0.weight_c" in names
    names = trainable(9)[1]
    assert {name.split(".")[2] for name in names if ".trunk." in name} == {"6", "7"}
    assert "image_encoder.convolution.weight" in names


def test_batch_norms_of_frozen_layers_keep_their_statistics_unless_asked():
    for mode, frozen_trains in (("frozen", False), ("train", True)):
        model, _ = trainable(9, batch_norm=mode)
        assert model.image_encoder.trunk[4].training is frozen_trains
        assert model.image_encoder.trunk[6].training


def test_everything_trains_in_the_toy_preset():
    model, names = trainable(0, text_from=0, image_from=0, first_trained_stage=0)
    assert names == {name for name, _ in model.named_parameters()}


def test_an_existing_run_is_not_overwritten(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")
    with pytest.raises(FileExistsError, match="--resume continues it"):
        run_train(toy_root, tmp_path, "-n run --epochs 1")
    with pytest.raises(ValueError, match="cannot change while it is resumed"):
        run_train(toy_root, tmp_path, "-n run --resume --embedding-dim 8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--batch-size 500", "120 training pairs do not fill a batch of 500"),
        ("--precision auto", "--precision auto: it is one of float32"),
        ("--epochs 50", "ends after 4 epochs"),
        ("--word-dim 20", "20 dimensions, and those in .* have 50"),
        ("--image-weights absent.pth", "absent.pth"),
    ],
)
def test_settings_that_make_no_sense_are_refused(toy_root, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_train(toy_root, tmp_path, f"-n run {options}")
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--dataset cocoa", "invalid choice: 'cocoa' (choose from "),
        ("--chunk-size -1", "--chunk-size: -1: it must be at least 0"),
        ("--epochs 0", "0: it must be at least 1"),
        ("--num-negatives 0", "--num-negatives: 0: it must be at least 1"),
        ("--max-batches -1", "--max-batches: -1: it must be at least 0"),
        ("--location-dropout 3", "--location-dropout: 3: it must be from 0 to below 1"),
        ("--text-dropout 1.5", "--text-dropout: 1.5: it must be from 0 to below 1"),
        ("--sru 0", "0: it must be at least 1"),
        ("--embedding-dim -3", "-3: it must be at least 1"),
        ("--learning-rate nan", "nan: it must be above 0"),
        ("--epochs x", "invalid int value: 'x'"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_name_of_their_option(options, message, capsys):
    with pytest.raises(SystemExit):
        train.get_parser().parse_args(options.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((TrainConfig(epochs=0),), "--epochs 0: it must be at least 1"),
        ((TrainConfig(margin=float("nan")),), "--margin nan: it must be above 0"),
        ((TrainConfig(cycle="round"),), "--cycle round: it is one of one-cycle, cosine"),
        ((TrainConfig(), ModelConfig(sru_layers=0)), "--sru-layers 0: it must be at least 1"),
        ((TrainConfig(), ModelConfig(image_dropout=1.0)), "--image-dropout 1.0: it must be from 0"),
    ],
)
def test_settings_of_a_checkpoint_are_checked_as_options_are(settings, message):
    with pytest.raises(ValueError, match=message):
        check_settings(*settings)


def test_imagenet_weights_that_cannot_be_had_are_an_error(toy_root, tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(image_weights, "build_trunk", no_network)
    with pytest.raises(OSError, match="cannot be downloaded.*--image-weights"):
        run_train(toy_root, tmp_path, "-n run --image-weights imagenet")


def test_an_absent_data_set_is_an_error_with_the_remedies(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        run_train(tmp_path, tmp_path, "-n run --dataset coco")
    for part in ("coco/dataset.json", "--data-root", "DSVE_DATA", "--preset toy"):
        assert part in str(error.value)


def test_the_flags_of_2018_are_understood():
    line = "-n x -pf 5 -bs 8 -lr 0.1 -lrd 0.3 -fepoch 4 -mepoch 7 -sru 3 -de 99"
    args = train.get_parser().parse_args(line.split())
    assert (args.name, args.print_frequency, args.batch_size, args.learning_rate) == (
        "x",
        5,
        8,
        0.1,
    )
    assert (args.learning_rate_decrease, args.image_from, args.epochs) == (0.3, 4, 7)
    assert (args.sru_layers, args.embedding_dim) == (3, 99)


def test_presets_make_sense():
    for model_config, config in PRESETS.values():
        check_settings(config)
        assert model_config.word_dim in (50, 620)


def test_real_photographs_run_through_the_same_code(real_data, tmp_path, monkeypatch, toy_root):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))
    results = run_train(real_data, tmp_path, "--dataset coco --epochs 1 --max-batches 2")
    assert 0 <= results["t2i/R@1"] <= 100
    assert (tmp_path / "toy-coco" / "best.pt").exists()


def test_a_run_killed_within_an_epoch_goes_on_from_the_last_checkpoint_within_it(
    toy_root, tmp_path, monkeypatch
):
    run_train(toy_root, tmp_path, "-n whole --epochs 1")
    step = training.train_step

    def killing_step(run, *arguments):
        if run.progress.batch == 4:
            raise KeyboardInterrupt
        return step(run, *arguments)

    monkeypatch.setattr(training, "train_step", killing_step)
    with pytest.raises(KeyboardInterrupt):
        run_train(toy_root, tmp_path, "-n parts --epochs 1 --checkpoint-every 0")
    progress = read_checkpoint(tmp_path / "parts" / "last.pt").training["progress"]
    assert (progress["batch"], progress["drawn"], progress["pairs"]) == (4, 64, 64)
    monkeypatch.setattr(training, "train_step", step)
    run_train(toy_root, tmp_path, "-n parts --resume")
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


def test_processes_that_are_started_again_go_on_with_their_run_and_with_no_other(
    toy_root, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    options = "-n run --epochs 1 --max-batches 1"
    folder = tmp_path / "run"
    folder.mkdir()
    half_written = folder / ".last.pt.123.tmp"
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
