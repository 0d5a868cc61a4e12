import json
import logging

import pytest
import torch

import train
from misc.checkpoints.checkpoint import load_model, read_checkpoint
from misc.toy.dataset import SceneCounts, ensure_toy
from misc.training import losses as loss
from misc.training.collapse import CollapseMonitor
from models.joint_embedding import JointEmbedding
from tests.training.small_runs import assert_same, run_train, weights


def test_the_number_of_workers_changes_no_weight(toy_root, tmp_path):
    run_train(toy_root, tmp_path, "-n none --epochs 1 --max-batches 2")
    run_train(toy_root, tmp_path, "-n two --epochs 1 --max-batches 2 --workers 2")
    assert_same(weights(tmp_path / "none"), weights(tmp_path / "two"))


@pytest.mark.parametrize("location_weight", [0, 0.5])
def test_a_collapsed_run_is_warned_of_with_the_remedy(
    location_weight, toy_root, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(CollapseMonitor.__init__, "__defaults__", (5,))
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        monkeypatch.setattr(JointEmbedding, "forward", collapsed)
        monkeypatch.setattr(torch.Tensor, "backward", lambda tensor: None)
        settings = f"--warmup-epochs 0 --location-weight {location_weight}"
        run_train(toy_root, tmp_path, f"-n run --epochs 2 {settings}")
    assert sum("collapsed" in record.message for record in caplog.records) == 1
    assert "--warmup-epochs" in caplog.text


def collapsed(model, images, vectors, lengths, with_locations=False):
    same = torch.full((len(images), 16), 0.25)
    return (same, same, same[:, None]) if with_locations else (same, same)


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
        image.write_bytes(b"no image")
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


def test_real_photographs_run_through_the_same_code(real_data, tmp_path, monkeypatch, toy_root):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))
    results = run_train(real_data, tmp_path, "--dataset coco --epochs 1 --max-batches 2")
    assert 0 <= results["t2i/R@1"] <= 100
    assert (tmp_path / "toy-coco" / "best.pt").exists()


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
