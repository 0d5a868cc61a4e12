import dataclasses
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from misc.checkpoints.checkpoint import save_checkpoint
from misc.embedder import Embedder
from misc.presets import PRESETS
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

README = Path(__file__).resolve().parents[1] / "README.md"
MINIATURE = ModelConfig(
    backbone="resnet18",
    stages=2,
    embedding_dim=16,
    pool_k=2,
    word_dim=50,
    sru_layers=1,
    input_size=128,
    localization_size=128,
)
TEXTS = ["A dog on the grass.", "two cats", "A red car. It is parked."]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    config = dataclasses.asdict(PRESETS["toy"][1])
    save_checkpoint(path, JointEmbedding(MINIATURE), {"config": config})
    return path


@pytest.fixture(scope="module")
def embedder(checkpoint, toy_root):
    words = toy_root / "toy" / "word_vectors"
    return Embedder(checkpoint, device="cpu", word_vectors=words, batch_size=3)


@pytest.fixture(scope="module")
def photos(toy_root):
    return sorted((toy_root / "toy" / "coco" / "images" / "val2014").glob("*.jpg"))[:5]


def test_files_their_names_and_opened_images_are_the_same(embedder, photos):
    embeddings = embedder.embed_images(photos)
    assert embeddings.shape == (5, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))
    assert torch.equal(embedder.embed_images([str(path) for path in photos]), embeddings)
    assert torch.equal(embedder.embed_images([Image.open(path) for path in photos]), embeddings)


def test_batches_are_the_same_as_one_by_one(embedder, photos):
    together = embedder.embed_images(photos), embedder.embed_texts(TEXTS)
    images = torch.cat([embedder.embed_images([photo]) for photo in photos])
    texts = torch.cat([embedder.embed_texts([text]) for text in TEXTS])
    torch.testing.assert_close(together, (images, texts), rtol=0, atol=1e-6)
    assert not torch.allclose(texts[0], texts[1], atol=1e-3)


def test_images_are_seen_in_the_size_of_the_models_training(embedder, checkpoint, photos):
    assert embedder.image_size == 128
    other = Embedder(checkpoint, device="cpu", image_size=64)
    assert not torch.allclose(other.embed_images(photos), embedder.embed_images(photos), atol=1e-3)


def test_heat_maps_have_a_size_of_their_own_unless_one_is_asked_for(tmp_path, photos, toy_root):
    path, words = tmp_path / "fine.pt", toy_root / "toy" / "word_vectors"
    save_checkpoint(path, JointEmbedding(dataclasses.replace(MINIATURE, localization_size=256)), {})
    fine = Embedder(path, device="cpu", word_vectors=words)
    assert (fine.image_size, fine.localize(photos[0], TEXTS, components=4).shape) == (
        128,
        (3, 32, 32),
    )
    asked = Embedder(path, device="cpu", word_vectors=words, image_size=64)
    assert asked.localize(photos[0], TEXTS, components=4).shape == (3, 8, 8)


def test_as_many_components_count_as_the_model_says_unless_others_are_asked_for(
    tmp_path, photos, toy_root
):
    path, words = tmp_path / "few.pt", toy_root / "toy" / "word_vectors"
    torch.manual_seed(0)
    for own, expected in ((5, 5), (180, 16)):
        config = dataclasses.replace(MINIATURE, localization_components=own)
        save_checkpoint(path, JointEmbedding(config), {})
        embedder = Embedder(path, device="cpu", word_vectors=words)
        found = embedder.localize(photos[0], TEXTS)
        assert torch.equal(found, embedder.localize(photos[0], TEXTS, components=expected))
        assert not torch.equal(found, embedder.localize(photos[0], TEXTS, components=4))


def test_nothing_gives_nothing(embedder):
    assert embedder.embed_images([]).shape == (0, 16)
    assert embedder.embed_texts([]).shape == (0, 16)


def test_a_heat_map_is_that_of_its_definition(embedder, photos):
    found = embedder.localize(photos[0], TEXTS, components=4)
    assert found.shape == (3, 16, 16)
    maps = embedder.model.activation_maps(embedder._pixels(photos[:1]))[0]
    for heat_map, text in zip(found, embedder.embed_texts(TEXTS), strict=True):
        largest = text.argsort(descending=True)[:4]
        expected = sum(text[u].abs() * maps[u] for u in largest)
        torch.testing.assert_close(heat_map, expected.detach(), rtol=0, atol=1e-5)


def test_images_need_no_word_vectors_and_texts_say_what_is_missing(checkpoint, photos, tmp_path):
    embedder = Embedder(checkpoint, device="cpu", word_vectors=tmp_path)
    assert len(embedder.embed_images(photos[:1])) == 1
    with pytest.raises(FileNotFoundError, match="dictionary.txt is missing"):
        embedder.embed_texts(["a dog"])


def test_what_is_wrong_is_named(embedder, tmp_path):
    with pytest.raises(ValueError, match="cannot read image .*absent.jpg"):
        embedder.embed_images([tmp_path / "absent.jpg"])
    with pytest.raises(ValueError, match="needs at least one word, and ' ' has none"):
        embedder.embed_texts(["a dog", " "])
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*absent.pt"):
        Embedder(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match="--device nonsense"):
        Embedder(tmp_path / "absent.pt", device="nonsense")


@pytest.mark.skipif(not README.exists(), reason="there is no README")
def test_the_example_in_the_readme_runs(
    checkpoint, toy_root, photos, tmp_path, monkeypatch, capsys
):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    examples = [block for block in blocks if "misc.embedder" in block]
    assert len(examples) == 1
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSVE_DATA", raising=False)
    toy = tmp_path / "data" / "toy"  # whole, with the scenes that the example names
    scenes = toy / "coco" / "images" / "val2014"
    scenes.mkdir(parents=True)
    for name in ("toy.json", "word_vectors"):
        (toy / name).symlink_to(toy_root / "toy" / name)
    for name in re.findall(r"COCO_val2014_\d+\.jpg", examples[0]):
        (scenes / name).symlink_to(photos[0])
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    (tmp_path / "runs" / "toy" / "best.pt").symlink_to(checkpoint)
    exec(examples[0], {})
    assert "tensor([[" in capsys.readouterr().out
    with Image.open(tmp_path / "burger.png") as picture:
        assert picture.size == (128, 128)
