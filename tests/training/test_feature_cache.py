import json
import logging
import shutil
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import eval_retrieval
import train
from misc.checkpoints.checkpoint import read_checkpoint
from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.decoding import load_image
from misc.data.images import image_loader
from misc.data.paths import data_paths, find_word_vectors
from misc.data.transforms import Views, evaluation_transform, views_of
from misc.inference.encode import encode_pairs
from misc.runtime.locks import locked
from misc.training import feature_cache
from misc.training.__main__ import get_parser, main
from misc.training.feature_cache import cached_features, remove_cache
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.conftest import SMALL_TRAINING


@pytest.fixture
def model():
    torch.manual_seed(0)
    return JointEmbedding(
        ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1, input_size=48)
    ).eval()


@pytest.fixture
def photographs(toy_root, tmp_path):
    images = read_captions(data_paths(toy_root, "toy"), ("val",))
    files = [tmp_path / f"{place}.jpg" for place in range(3)]
    for image, file in zip(images, files, strict=False):
        shutil.copy(image.path, file)
    files.insert(1, tmp_path / "absent.jpg")
    return files


@torch.inference_mode()
def test_maps_are_those_of_the_trunk_of_images_and_crops(model, photographs, tmp_path):
    views, statistics = Views(2, 0.3, flip=True), model.config.image_statistics
    cache = cached_features(model, photographs, tmp_path / "features", 0, views=views)
    assert cache.views == views.number == 4
    image = load_image(photographs[2])
    whole = evaluation_transform(48, statistics)(image)
    squares = views_of(image, 48, views, statistics, seed=2)
    torch.testing.assert_close(squares[0], whole)
    for view, pixels in enumerate(squares):
        expected = model.image_encoder.trunk(pixels[None])[0]
        torch.testing.assert_close(cache.load(2, view).float(), expected, rtol=2e-3, atol=2e-3)
    with pytest.raises(ValueError, match=r"absent\.jpg"):
        cache.load(1)


def test_any_change_makes_another_cache_and_nothing_changed_none(model, photographs, tmp_path):
    folder = tmp_path / "features"

    def count(changed, views=None):
        cached_features(changed, photographs, folder, workers=0, views=views)
        return len(list(folder.iterdir()))

    assert [count(model), count(model)] == [1, 1]
    with torch.no_grad():
        model.image_encoder.trunk[0].weight[0, 0, 0, 0] += 1
    assert count(model) == 2
    Image.new("RGB", (60, 60)).save(photographs[0])
    assert count(model) == 3
    model.image_encoder.convolution.weight.data.zero_()  # trains, and is no part of the maps
    assert count(model) == 3
    assert [count(model, Views(1, scale)) for scale in (0.5, 0.5, 0.6)] == [4, 4, 5]


def test_a_stopped_cache_goes_on_with_what_is_left(model, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "BATCH", 1)
    whole = cached_features(model, photographs, tmp_path / "whole", workers=0)
    read, stopping = [], [True]

    def stopped(paths, *arguments):
        for batch in image_loader(paths, *arguments):
            read.append(paths[(batch.indices or [batch.failures[0].index])[0]])
            if stopping and len(read) == 3:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(feature_cache, "image_loader", stopped)
        cached_features(model, photographs, tmp_path / "features", workers=0)
    assert read == photographs[:3]
    read.clear()
    stopping.clear()
    monkeypatch.setattr(feature_cache, "image_loader", stopped)
    # The first is done; what could not be read may be readable now; the third was not written.
    cache = cached_features(model, photographs, tmp_path / "features", workers=0)
    assert read == photographs[1:]
    assert (cache.maps == whole.maps).all()
    assert cache.failures == whole.failures


def test_a_full_disk_is_told_before_the_work_with_what_is_needed(
    model, photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(OSError, match=r"maps.npy needs .* GB, and 0.0 GB are free: No space left"):
        cached_features(model, photographs, tmp_path / "features", workers=0)
    assert not [*(tmp_path / "features").rglob("*.npy")]


def test_caches_that_no_run_uses_are_listed_and_removed(model, photographs, tmp_path, capsys):
    used = cached_features(model, photographs, tmp_path / "features", workers=0).folder
    other = cached_features(model, photographs[:1], tmp_path / "features", workers=0).folder
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "features.json").write_text(json.dumps({"caches": [used.name]}))
    options = ["caches", "--runs", str(tmp_path)]
    assert main(get_parser().parse_args(options)) == {str(used): ["mine"], str(other): []}
    assert f"{used}: 0.0 GB, used by mine" in capsys.readouterr().out
    main(get_parser().parse_args([*options, "--remove"]))
    assert f"{other}: 0.0 GB, used by no run, removed" in capsys.readouterr().out
    assert used.exists() and not other.exists()
    with locked(used), pytest.raises(OSError, match="another program is at work in"):
        remove_cache(used)


@pytest.mark.parametrize("trunk", ["--finetune-epoch 9", "--trained-parts 1"])
def test_training_on_cached_features_resumes_exactly(trunk, toy_root, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    options = (
        f"{SMALL_TRAINING} --input-size 48 --image-size 48 --crop-size 48 --batch-size 16"
        f" --cycle-epochs 2 --cache-features --cached-crops 1 --flip "
        f"{trunk} --images-per-batch 4 --location-dropout 0.2 --word-dropout 0.2 "
        f"--clip-norm 1 --data-root {toy_root} --runs {tmp_path}"
    ).split()

    def run(*more):
        return train.main(train.get_parser().parse_args([*options, *more]))

    run("-n", "whole", "--epochs", "2")
    run("-n", "parts", "--epochs", "1")
    run("-n", "parts", "--epochs", "2", "--resume")
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert json.loads(logs[0].splitlines()[1])["loss"] < json.loads(logs[0].splitlines()[0])["loss"]
    assert caplog.text.count("features of 24 images") == 1


def test_validation_from_cached_maps_is_that_from_images(model, photographs, toy_root, tmp_path):
    paths = data_paths(toy_root, "toy")
    images = [CaptionedImage(place, path, ("a dog",)) for place, path in enumerate(photographs)]
    cache = cached_features(model, photographs, tmp_path / "features", workers=0)
    options = model, images, find_word_vectors("", paths), 48, 2
    expected, _, _ = encode_pairs(*options)
    found, _, owners = encode_pairs(*options, features=cache)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    assert (len(found), owners.tolist()) == (3, [0, 1, 2])  # one image is absent


def test_the_last_parts_train_on_maps_of_what_never_does(toy_root, tmp_path):
    options = (
        f"{SMALL_TRAINING} --input-size 48 --image-size 48 --crop-size 48 --no-flip -n run"
        f" --cycle-epochs 2 --cache-features --trained-parts 1 --finetune-epoch 1"
        f" --data-root {toy_root} --runs {tmp_path}"
    ).split()
    states, first, second = [], "image_encoder.trunk.5.0.conv1.weight", "image_encoder.trunk.5.1."
    for epochs in ("1", "2"):
        arguments = [*options, "--epochs", epochs, "--resume"]
        train.main(train.get_parser().parse_args(arguments))
        states.append(read_checkpoint(tmp_path / "run" / "last.pt").state_dict)
    before, after = states
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    trunk = {name for name in changed if ".trunk." in name}
    assert trunk and all(name.startswith(second) for name in trunk), trunk
    assert first not in trunk and not any("running" in name for name in trunk)
    # What was validated on maps is what images give.
    result = tmp_path / "result.json"
    arguments = ["-p", str(tmp_path / "run" / "last.pt"), "--dataset", "toy", "--json", str(result)]
    more = ["--data-root", str(toy_root), "--device", "cpu", "--precision", "float32"]
    eval_retrieval.main(eval_retrieval.get_parser().parse_args([*arguments, *more]))
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert json.loads(result.read_text())["rsum"] == pytest.approx(last["rsum"], abs=20)


def test_a_thawed_trunk_sees_images_again_and_trains(toy_root, tmp_path):
    options = (
        f"{SMALL_TRAINING} --input-size 48 --image-size 48 --crop-size 48 --batch-size 16"
        f" --cycle-epochs 2 --cache-features -n run"
        f" --data-root {toy_root} --runs {tmp_path}"
    ).split()

    def first_weight(*more):
        train.main(train.get_parser().parse_args([*options, *more]))
        state = read_checkpoint(tmp_path / "run" / "last.pt").state_dict
        return state["image_encoder.trunk.0.weight"]

    with pytest.raises(ValueError, match="--finetune-epoch freezes it"):
        first_weight("--epochs", "1")
    frozen = first_weight("--epochs", "1", "--finetune-epoch", "1")
    assert not torch.equal(
        frozen, first_weight("--epochs", "2", "--finetune-epoch", "1", "--resume")
    )
