import json
import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import search
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from misc.data.decoding import load_image
from misc.embedder import Embedder
from misc.features.reading import load_embeddings
from misc.features.writing import save_embeddings
from misc.pictures import search_sheet
from misc.pictures.heat_maps import overlay
from misc.pictures.panels import contact_sheet
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.features.rows import DIMENSION, unit_rows


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    config = ModelConfig("resnet18", 2, DIMENSION, 2, word_dim=50, sru_layers=1)
    save_checkpoint(
        path, JointEmbedding(config), {"config": {"word_vectors": "glove", "dataset": "toy"}}
    )
    return path


@pytest.fixture(scope="module")
def embedder(checkpoint, toy_root):
    return Embedder(checkpoint, device="cpu", data_root=toy_root, image_size=32)


@pytest.fixture(scope="module")
def photos(toy_root):
    return sorted((toy_root / "toy" / "coco" / "images" / "val2014").iterdir())[:12]


@pytest.fixture(scope="module")
def features(photos, embedder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    rows = embedder.embed_images(photos)
    for suffix in (".npz", ".npy", ".parquet"):
        save_embeddings(folder / f"images{suffix}", list(map(str, photos)), rows)
    texts = ["a dog", "a red car", "a kite over a house", "x" * 300]
    save_embeddings(folder / "texts.npz", texts, embedder.embed_texts(texts))
    save_embeddings(folder / "none.npz", [], torch.empty(0, DIMENSION))
    save_embeddings(folder / "other.npz", ["a"], unit_rows(1, 5))
    return folder


@pytest.fixture
def ask(checkpoint, toy_root):
    def run(*arguments):
        command = ["-p", checkpoint, "--data-root", toy_root, "--workers", 0, "--device", "cpu"]
        command += ["--image-size", 32, "-k", 5, *arguments]
        return search.main(search.get_parser().parse_args(list(map(str, command))))

    return run


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet"])
def test_texts_find_the_images_with_the_most_similar_embeddings(
    suffix, ask, features, embedder, photos, tmp_path, capsys
):
    texts = ["a dog", "a pizza and a kite"]
    options = "-f", features / f"images{suffix}", "--top", 4, "--json", tmp_path / "a.json"
    results = ask(*texts, *options)
    similarity = embedder.embed_texts(texts) @ embedder.embed_images(photos).T
    scores, rows = similarity.topk(4)
    assert [answer["query"] for answer in results["queries"]] == texts
    for answer, row, score in zip(results["queries"], rows, scores.tolist(), strict=True):
        assert [found["name"] for found in answer["found"]] == [str(photos[i]) for i in row]
        assert [found["score"] for found in answer["found"]] == pytest.approx(score, abs=1e-6)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == results
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a dog"
    assert printed[1] == f"  {scores[0, 0]:.4f}  {photos[rows[0, 0]]}"
    assert len(printed) == 2 * (1 + 4)


def test_an_image_finds_itself_and_texts_beside_a_text_query(ask, features, photos, tmp_path):
    results = ask("-i", photos[3], "-f", features / "images.npz", "--top", 2)
    [answer] = results["queries"]
    assert answer["query"] == answer["found"][0]["name"] == str(photos[3])
    assert answer["found"][0]["score"] == pytest.approx(1, abs=1e-5)
    results = ask("a dog", "-i", photos[3], "-f", features / "texts.npz")
    assert [answer["query"] for answer in results["queries"]] == ["a dog", str(photos[3])]
    assert results["queries"][0]["found"][0]["name"] == "a dog"
    assert [len(answer["found"]) for answer in results["queries"]] == [4, 4]


def test_an_image_query_needs_no_word_vectors(ask, features, photos, tmp_path):
    absent = "--word-vectors", tmp_path / "absent"
    ask("-i", photos[3], "-f", features / "images.npz", *absent)
    with pytest.raises(FileNotFoundError, match="no word vectors"):
        ask("a dog", "-f", features / "images.npz", *absent)


def test_only_the_first_sentence_of_a_query_counts_if_that_is_asked_for(ask, features):
    options = "-f", features / "texts.npz", "--first-sentence"
    first, dog = (
        ask(text, *options)["queries"][0]["found"] for text in ("a dog. a cat.", "a dog.")
    )
    assert first == dog


def test_the_index_answers_as_exact_search_does_and_needs_the_features_once(
    ask, features, tmp_path
):
    exact = ask("a dog", "-f", features / "images.npz")
    index = "--index", tmp_path / "a.faiss"
    built = ask("a dog", "-f", features / "images.npz", *index)
    alone = ask("a dog", *index)
    assert built == alone
    found, expected = (result["queries"][0]["found"] for result in (alone, exact))
    assert [one["name"] for one in found] == [one["name"] for one in expected]
    with pytest.raises(ValueError, match="stale"):
        ask("a dog", "-f", features / "texts.npz", *index)


def test_the_panel_shows_the_querys_heat_map_over_each_image(
    ask, features, checkpoint, embedder, tmp_path
):
    results = ask(
        "a dog", "-f", features / "images.npz", "--top", 3, "--open-panel", tmp_path / "a.png"
    )
    found = results["queries"][0]["found"]
    sheet = Image.open(tmp_path / "a.png").convert("RGB")
    tiles = []
    for one in found:
        image = Image.open(one["name"]).convert("RGB")
        heat = embedder.localize(image, ["a dog"], components=5)[0]
        tiles.append((f"{one['score']:.3f} {Path(one['name']).name}", overlay(image, heat)))
    expected = np.asarray(contact_sheet([("a dog", tiles)]), dtype=int)
    assert np.abs(np.asarray(sheet, dtype=int) - expected).max() <= 1  # batches round differently
    assert results["left_out"] == []


def test_images_that_are_gone_are_left_out_of_the_panel_and_said(
    ask, features, embedder, photos, tmp_path, caplog
):
    gone = tmp_path / "gone.jpg"
    rows = embedder.embed_images(photos[:1])
    save_embeddings(tmp_path / "a.npz", [str(photos[0]), str(gone)], rows.expand(2, -1))
    results = ask("a dog", "-f", tmp_path / "a.npz", "--open-panel", tmp_path / "a.png")
    assert results["left_out"] == [str(gone)]
    assert "left out: cannot read image" in caplog.text
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width == 224 + 16
    with pytest.raises(ValueError, match="none of the 4 names found .*features of texts have no"):
        ask("a dog", "-f", features / "texts.npz", "--open-panel", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_large_photographs_are_small_in_the_panel_and_one_may_vanish_meanwhile(
    ask, features, embedder, photos, tmp_path, monkeypatch, caplog
):
    large, other = tmp_path / "large.png", tmp_path / "other.png"
    Image.new("RGB", (3000, 1000), "red").save(large)
    Image.new("RGB", (100, 90), "red").save(other)
    save_embeddings(tmp_path / "a.npz", [str(large), str(other)], unit_rows(2))
    sizes: list[tuple[int, int]] = []

    def sheet_of(groups):
        sizes.extend(image.size for _, tiles in groups for _, image in tiles)
        return contact_sheet(groups)

    def load(path, longest):
        if path == other:
            raise ValueError(f"cannot read image {path}: it is gone")
        return load_image(path, longest=longest)

    monkeypatch.setattr(search_sheet, "contact_sheet", sheet_of)
    monkeypatch.setattr(search_sheet, "load_image", load)
    results = ask("a dog", "-f", tmp_path / "a.npz", "--open-panel", tmp_path / "a.png")
    assert sizes == [(448, 149)]
    assert results["left_out"] == [str(other)]


def test_hubs_are_told_by_the_models_pairs_of_training(ask, features, checkpoint, tmp_path):
    model, content = load_model(checkpoint), read_checkpoint(checkpoint)
    pairs = torch.stack([unit_rows(9, DIMENSION, 1), unit_rows(9, DIMENSION, 2)]).half()
    save_checkpoint(tmp_path / "a.pt", model, content.training, pairs)
    names, rows = load_embeddings(features / "images.npz")
    images = "-f", features / "images.npz", "--top", 12
    plain = ask("a dog", "-i", names[3], *images)["queries"]
    found = ask("a dog", "-i", names[3], *images, "-p", tmp_path / "a.pt", "--csls")["queries"]
    for query, (before, after) in enumerate(zip(plain, found, strict=True)):
        near = rows @ pairs[1 - query].float().T  # of a text captions, of an image images
        taken = dict(zip(names, (near.sort(dim=1).values.mean(dim=1) / 2).tolist(), strict=True))
        expected = {one["name"]: one["score"] - taken[one["name"]] for one in before["found"]}
        assert {one["name"]: one["score"] for one in after["found"]} == pytest.approx(
            expected, abs=1e-4
        )
        scores = [one["score"] for one in after["found"]]
        assert scores == sorted(scores, reverse=True)
    with pytest.raises(ValueError, match=r"best\.pt keeps no images and captions of training"):
        ask("a dog", *images, "--csls")
    with pytest.raises(ValueError, match="--csls is of exact search"):
        ask("a dog", *images, "--csls", "--index", tmp_path / "a.faiss")


def test_what_cannot_be_answered_is_an_error_that_says_why(ask, features, tmp_path):
    images = "-f", features / "images.npz"
    with pytest.raises(ValueError, match="nothing to search for: .* -i"):
        ask(*images)
    with pytest.raises(ValueError, match="nothing to search in: -f"):
        ask("a dog")
    with pytest.raises(ValueError, match=r"a\.jpg: the panel is a \.png"):
        ask("a dog", *images, "--open-panel", "a.jpg")
    with pytest.raises(ValueError, match="at least one word"):
        ask("a dog", " ", *images)
    with pytest.raises(ValueError, match="cannot read image .*none.npz"):
        ask("-i", features / "none.npz", *images)
    with pytest.raises(ValueError, match="none.npz has no embeddings to search"):
        ask("a dog", "-f", features / "none.npz")
    with pytest.raises(ValueError, match="other.npz has embeddings of 5 dimensions.* have 16"):
        ask("a dog", "-f", features / "other.npz")
    with pytest.raises(FileNotFoundError, match="absent.npz"):
        ask("a dog", "-f", tmp_path / "absent.npz")


def test_a_pickle_is_refused_with_a_command_that_rewrites_it(ask, tmp_path, monkeypatch):
    rows = unit_rows(2)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((["a", "b"], rows.numpy())))
    with pytest.raises(ValueError, match="a.pkl: embeddings are read .* could run code") as refusal:
        ask("a dog", "-f", tmp_path / "a.pkl")
    program = shlex.split(str(refusal.value).split("that you trust: ")[1])[2]
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    names, loaded = load_embeddings(tmp_path / "features.npz")
    assert names == ["a", "b"]
    assert torch.equal(loaded, rows)
