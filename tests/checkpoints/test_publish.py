import json
import logging

import numpy as np
import pytest
from huggingface_hub import ModelCard

from misc.checkpoints.__main__ import get_parser, main
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from misc.checkpoints.sharing import shareable
from misc.embedder import Embedder
from misc.presets import PRESETS
from misc.words.word_vectors import WordVectors
from models.joint_embedding import JointEmbedding
from tests.checkpoints.published_folder import assert_same_weights, publish


def test_what_publish_writes_is_read_by_scripts_and_by_the_hubs_mixin(model, folder, words):
    assert {file.name for file in folder.iterdir()} == {
        "README.md", "config.json", "model.safetensors"
    }  # fmt: skip
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1  # who reads one reads all
    assert_same_weights(load_model(folder), model)
    assert_same_weights(JointEmbedding.from_pretrained(folder), model)
    published = read_checkpoint(folder)
    assert published.image_size == 128
    assert published.training["config"]["seed"] == 7
    assert published.training["config"]["word_vectors"] == "word_vectors"  # no folder of ours
    assert published.word_table == WordVectors.load(words).fingerprint()
    assert "optimizer" not in published.training


def test_images_are_seen_in_the_size_that_the_folder_says(folder, tmp_path):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings["about"]["preprocessing"]["image_size"] = 64
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert Embedder(tmp_path, device="cpu").image_size == 64
    command = ["convert", str(tmp_path), str(tmp_path / "one.pt")]
    main(get_parser().parse_args(command))
    assert read_checkpoint(tmp_path / "one.pt").about == read_checkpoint(tmp_path).about


@pytest.mark.parametrize(
    "preprocessing", [3, {}, {"image_size": 0}, {"image_size": 64, "mean": [0, 0, 0]}]
)
def test_preprocessing_that_is_not_ours_is_refused(folder, tmp_path, preprocessing):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings["about"]["preprocessing"] = preprocessing
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(ValueError, match="preprocessing should be an image_size in pixels"):
        load_model(tmp_path)


def test_other_word_vectors_are_warned_of(folder, words, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        Embedder(folder, device="cpu", word_vectors=words).embed_texts(["a dog"])
    assert not caplog.records
    table = np.load(words / "utable.npy")
    np.save(tmp_path / "utable.npy", table[::-1])
    (tmp_path / "dictionary.txt").symlink_to(words / "dictionary.txt")
    with caplog.at_level(logging.WARNING):
        Embedder(folder, device="cpu", word_vectors=tmp_path).embed_texts(["a dog"])
    assert f"{tmp_path} are not those that the model was trained with" in caplog.text


def test_what_is_wrong_is_named_before_anything_is_written(checkpoint, folder, tmp_path):
    with pytest.raises(FileExistsError, match="--force overwrites it"):
        publish(checkpoint, folder)
    publish(checkpoint, tmp_path / "model")
    publish(checkpoint, tmp_path / "model", "--force", "--license", "mit")
    assert ModelCard.load(tmp_path / "model" / "README.md").data.license == "mit"
    other = tmp_path / "other.json"
    for content, message in (("{", "is not valid JSON"), ('{"R@1": 3}', "by which protocol")):
        other.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            publish(checkpoint, tmp_path / "new", "--results", other)
    with pytest.raises(FileNotFoundError, match="no results at"):
        publish(checkpoint, tmp_path / "new", "--results", tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="no word vectors"):
        publish(checkpoint, tmp_path / "new", "--word-vectors", tmp_path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("source", ["package:some-encoder", "hf://user/encoder", "glove", ""])
def test_what_anyone_can_have_keeps_its_name(source):
    assert shareable({"word_vectors": source}) == {"word_vectors": source}


def test_no_path_of_the_users_machine_goes_out(model, words, tmp_path):
    secret = "/home/planted-client/photos"
    config = vars(PRESETS["photos"][1]) | {
        "captions": f"{secret}/captions.csv",
        "images": secret,
        "word_vectors": f"{secret}/words",
        "image_weights": f"{secret}/weights.pt",
        "unknown": secret,
    }
    save_checkpoint(tmp_path / "best.pt", model, {"config": config})
    publish(tmp_path / "best.pt", tmp_path / "out", "--word-vectors", words)
    for new, *options in (["new.pt"], ["new", "--safetensors"]):
        command = ["convert", str(tmp_path / "best.pt"), str(tmp_path / new), *options]
        main(get_parser().parse_args(command))
    for file in (*(tmp_path / "out").iterdir(), tmp_path / "new.pt", *(tmp_path / "new").iterdir()):
        assert b"planted-client" not in file.read_bytes(), file
    for written in ("out", "new.pt", "new"):
        kept = read_checkpoint(tmp_path / written).training["config"]
        assert (kept["word_vectors"], kept["image_weights"]) == ("word_vectors", "image_weights")
        assert kept["epochs"] == config["epochs"]
        assert not {"captions", "images", "unknown"} & kept.keys()
