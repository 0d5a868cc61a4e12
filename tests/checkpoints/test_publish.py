import json
import logging

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError

from misc.checkpoints import hub
from misc.checkpoints.__main__ import get_parser, main
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from misc.embedder import Embedder
from misc.presets import PRESETS
from misc.words.word_vectors import WordVectors
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, pool_k=2, word_dim=50, sru_layers=1
)
PROTOCOL = "Retrieval on toy test, images of 128 x 128 pixels"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return JointEmbedding(MINIATURE).eval()


@pytest.fixture(scope="module")
def words(toy_root):
    return toy_root / "toy" / "word_vectors"


@pytest.fixture(scope="module")
def checkpoint(model, words, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "best.pt"
    config = vars(PRESETS["toy"][1]) | {"word_vectors": str(words), "seed": 7}
    save_checkpoint(path, model, {"config": config, "optimizer": {"rate": 1}})
    return path


def publish(*arguments):
    return main(get_parser().parse_args(["publish", *map(str, arguments)]))


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    place = tmp_path_factory.mktemp("published")
    results = place / "retrieval.json"
    numbers = {"i2t/R@1": 12.34567, "images": 16, "images_left_out": ["a"]}
    results.write_text(json.dumps({"protocol": PROTOCOL, **numbers}), encoding="utf-8")
    return publish(checkpoint, place / "model", "--results", results)


def assert_same_weights(first, second):
    assert first.config == second.config
    tensors = second.state_dict()
    assert first.state_dict().keys() == tensors.keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    assert not first.training


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


def test_what_the_mixin_read_it_writes_again_with_all_that_is_known(folder, tmp_path):
    JointEmbedding.from_pretrained(folder).save_pretrained(tmp_path / "again")
    JointEmbedding.from_pretrained(tmp_path / "again").save_pretrained(tmp_path / "third")
    settings = (folder / "config.json").read_text(encoding="utf-8")
    assert (tmp_path / "third" / "config.json").read_text(encoding="utf-8") == settings
    assert read_checkpoint(tmp_path / "third").about == read_checkpoint(folder).about


def test_a_model_that_was_never_a_checkpoint_is_saved_and_read(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert_same_weights(load_model(tmp_path), model)
    assert_same_weights(JointEmbedding.from_pretrained(tmp_path), model)
    assert read_checkpoint(tmp_path).image_size == 400


def test_the_card_has_recipe_protocol_metrics_and_license(folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "bsd-3-clause"
    assert "| sru_layers | 1 |" in card.text
    assert "| seed | 7 |" in card.text
    assert f"{PROTOCOL}:" in card.text
    assert "| i2t/R@1 | 12.35 |" in card.text
    assert "| images | 16 |" in card.text
    assert "images_left_out" not in card.text
    assert f'Embedder("{folder}")' in card.text


def test_a_mixin_without_all_weights_or_settings_fails(folder, tmp_path):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no config.json in"):
        JointEmbedding.from_pretrained(tmp_path)
    settings["config"]["sru_layers"] = 2
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(RuntimeError, match="Missing key"):
        JointEmbedding.from_pretrained(tmp_path)


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


def test_a_fingerprint_depends_on_words_their_order_and_the_numbers(words):
    table, names = np.arange(12, dtype=np.float32).reshape(4, 3), ["a", "b", "UNK", "c"]
    prints = {
        WordVectors(list(order), values).fingerprint()
        for order, values in [
            (names, table),
            (reversed(names), table),
            (names, table + 1),
            (names, table[:, :2]),
            (names, table * 0),
            (names, (table * 0).astype(np.int32)),
        ]
    }
    assert len(prints) == 6
    copied = WordVectors(names, np.asfortranarray(table)).fingerprint()
    assert copied in prints


def test_a_model_on_the_hub_is_downloaded_in_its_revision(folder, model, monkeypatch):
    asked = []

    def download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    files = ["config.json", "model.safetensors"]
    assert_same_weights(load_model("hf://user/beans"), model)
    assert Embedder("hf://user/beans@v2", device="cpu").image_size == 128
    assert asked == [("user/beans", None, files), ("user/beans", "v2", files)]


def test_every_script_takes_a_model_on_the_hub(folder, toy_root, tmp_path, monkeypatch):
    import text_features_extraction

    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: str(folder))
    (tmp_path / "texts.txt").write_text("a dog\n", encoding="utf-8")
    command = f"-p hf://user/beans -d {tmp_path}/texts.txt -o {tmp_path}/texts.npz --device cpu"
    command += f" --word-vectors {toy_root}/toy/word_vectors"
    text_features_extraction.main(text_features_extraction.get_parser().parse_args(command.split()))
    assert np.load(tmp_path / "texts.npz")["embeddings"].shape == (1, 16)


def test_a_download_that_fails_is_one_clear_line(monkeypatch):
    def fail(name, **options):
        raise LocalEntryNotFoundError("Cannot find the requested files.\nMore lines.")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(OSError, match="hf://user/beans@v2 cannot be downloaded: .*lines") as e:
        load_model("hf://user/beans@v2")
    assert "\n" not in str(e.value)
    for wrong in ("hf://beans", "hf://a/b/c", "hf://"):
        with pytest.raises(ValueError, match="a model on the hub is hf://user/name"):
            load_model(wrong)


def test_a_push_uploads_the_folder_as_it_is(checkpoint, tmp_path, monkeypatch):
    calls = []

    class FakeApi:
        def create_repo(self, name, exist_ok):
            calls.append((name, exist_ok))

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            calls.append((repo_id, folder_path, sorted(allow_patterns)))
            return "address"

    monkeypatch.setattr(hub, "HfApi", FakeApi)
    publish(checkpoint, tmp_path / "model", "--push", "user/beans", "--license", "mit")
    files = ["README.md", "config.json", "model.safetensors"]
    assert calls == [("user/beans", True), ("user/beans", tmp_path / "model", files)]
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.license == "mit"
    assert 'Embedder("hf://user/beans")' in card.text


def test_the_mixins_push_uploads_what_is_read_again(folder, model, monkeypatch):
    uploaded = []

    class FakeApi:
        def __init__(self, token):
            pass

        def create_repo(self, repo_id, **options):
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, folder_path, **options):
            uploaded.append(read_checkpoint(folder_path))

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", FakeApi)
    load_model(folder).push_to_hub("user/beans")
    assert uploaded[0].about == read_checkpoint(folder).about


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
