import json

import pytest

import train
from misc.config import TrainConfig
from misc.data.paths import DataPaths
from misc.training import image_weights
from misc.training.photographs import training_images
from misc.training.settings import check_settings
from models.config import ModelConfig
from tests.training.small_runs import run_train


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
        (
            (TrainConfig(cached_crops=1),),
            "--cached-crops 1: crops are cached with --cache-features",
        ),
        (
            (TrainConfig(location_phrases=3, images_per_batch=4),),
            "--location-phrases 3: phrases are looked for with --location-weight",
        ),
        (
            (TrainConfig(location_phrases=3, location_weight=1.0, warmup_epochs=1),),
            r"--location-phrases 3: .* in batches of images \(--images-per-batch\)",
        ),
        (
            (TrainConfig(location_phrases=3, location_weight=1.0, images_per_batch=4),),
            r"--location-phrases 3: .* in the warm-up \(--warmup-epochs\)",
        ),
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


def test_a_preset_that_a_resumed_run_is_not_of_is_told(toy_root, tmp_path, caplog):
    run_train(toy_root, tmp_path, "-n run --epochs 1 --max-batches 1")
    caplog.clear()
    run_train(toy_root, tmp_path, "-n run --epochs 1 --resume")
    assert "passed over" not in caplog.text
    options = f"--preset paper -n run --resume --epochs 1 --device cpu --runs {tmp_path}"
    args = train.get_parser().parse_args([*options.split(), "--data-root", str(toy_root)])
    assert train.main(args)["best_rsum"] > 0
    assert f"--preset paper is passed over: the run in {tmp_path / 'run'} goes on" in caplog.text


def test_a_broken_file_of_captions_is_not_taken_for_a_set_without_training_images(tmp_path):
    paths = DataPaths(tmp_path)
    paths.split_file.parent.mkdir()
    entry = {"imgid": 1, "split": "val", "filename": "a.jpg", "sentences": [{"raw": "a dog"}]}
    paths.split_file.write_text(json.dumps({"images": [entry]}), encoding="utf-8")
    paths.images.mkdir()
    (paths.images / "a.jpg").touch()
    assert [image.image_id for image in training_images(paths)] == [1]
    paths.split_file.write_text('{"images": [{}]}', encoding="utf-8")
    with pytest.raises(ValueError, match="not in the format of Karpathy") as raised:
        training_images(paths)
    assert raised.value.__context__ is None  # it is not read again for val
