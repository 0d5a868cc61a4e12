import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import localize
import pointing_game
import semantic_seg
from misc.annotations import read_regions
from misc.checkpoint import save_checkpoint
from misc.dataset import data_paths, find_word_vectors
from misc.encode import encode_texts
from misc.transforms import evaluation_transform, load_image
from models.joint_embedding import JointEmbedding, ModelConfig

SMALL = ModelConfig("resnet18", 2, 200, 2, word_dim=50, sru_layers=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_checkpoint(path, JointEmbedding(SMALL), {"config": {"word_vectors": "glove"}})
    return path


@pytest.fixture(autouse=True)
def built_in_words(toy_root, monkeypatch):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))


def play(script, checkpoint, root, *options):
    command = ["-p", checkpoint, "--data-root", root, "--workers", 0, "--device", "cpu", *options]
    return script.main(script.get_parser().parse_args([str(word) for word in command]))


def naive_hits(model, image, vectors, size, corner):
    """The pointing game phrase by phrase, component by component."""
    with torch.inference_mode():
        picture = evaluation_transform(size)(load_image(image.path))
        maps = model.activation_maps(picture[None])[0]
        hits = 0
        for phrase, box in zip(image.phrases, image.boxes.tolist(), strict=True):
            text = encode_texts(model, [phrase], vectors)[0]
            heat = sum(abs(text[u]) * maps[u] for u in text.argsort(descending=True)[:180])
            row, column = divmod(int(heat.argmax()), heat.shape[1])
            shift = 0 if corner else 0.5
            x = (column + shift) * image.size[0] / heat.shape[1]
            y = (row + shift) * image.size[1] / heat.shape[0]
            hits += box[0] < x < box[0] + box[2] and box[1] < y < box[1] + box[3]
    return hits


def test_the_pointing_game_equals_a_twin_phrase_by_phrase(checkpoint, toy_root, tmp_path, capsys):
    results = play(
        pointing_game, checkpoint, toy_root, "--dataset", "toy", "--json", tmp_path / "r.json"
    )
    model = JointEmbedding(SMALL).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    paths = data_paths(toy_root, "toy")
    images, vectors = read_regions(paths), find_word_vectors("", paths)
    regions = sum(len(image.phrases) for image in images)
    assert results["regions"] == regions
    for name, corner in (("pointing_game", False), ("pointing_game/published", True)):
        hits = sum(naive_hits(model, image, vectors, 128, corner) for image in images)
        assert results[name] == pytest.approx(100 * hits / regions)
    assert json.loads((tmp_path / "r.json").read_text())["regions"] == regions
    assert "toy: 16 of 16 images" in capsys.readouterr().out


def strange_genome(root, toy_root):
    """A data root with one good image, a missing file, a broken one and strange regions."""
    folder = root / "visual_genome" / "VG_100K"
    folder.mkdir(parents=True)
    photo = next((toy_root / "toy" / "visual_genome" / "VG_100K").iterdir())
    (folder / "1.jpg").write_bytes(photo.read_bytes())
    (folder / "3.jpg").write_text("no image")
    images = [
        {"image_id": number, "width": 128, "height": 128, "coco_id": None} for number in (1, 2, 3)
    ]
    whole = {"x": -1, "y": -1, "width": 200, "height": 200}
    boxes = {
        ("a dog", 11, 1): whole,
        ("  ", 12, 1): whole,
        ("a cat", 13, 1): {**whole, "width": 0},
        ("a cow", 14, 1): {**whole, "x": 500},
        ("a pig", 15, 1): whole,
        ("a dog", 21, 2): whole,
        ("a dog", 31, 3): whole,
    }
    regions = [
        {"regions": [{"phrase": phrase, "region_id": number, "image_id": image, **box}]}
        for (phrase, number, image), box in boxes.items()
    ]
    (root / "visual_genome" / "image_data.json").write_text(json.dumps(images))
    (root / "visual_genome" / "region_descriptions.json").write_text(json.dumps(regions))


def test_blank_phrases_and_strange_boxes_are_misses_and_lost_images_are_reported(
    checkpoint, toy_root, tmp_path, capsys
):
    strange_genome(tmp_path, toy_root)
    results = play(pointing_game, checkpoint, tmp_path, "--all-images", "--image-size", "128")
    # The blank phrase in the middle shifts nothing: the two whole boxes are hit, no other.
    assert (results["regions"], results["pointing_game"]) == (5, 40.0)
    assert (results["blank_phrases"], results["empty_boxes"]) == ([12], [13])
    assert results["outside_boxes"] == [14]
    assert (results["missing_images"], results["missing_regions"]) == ([2], [21])
    assert results["unreadable_images"] == [3]
    printed = capsys.readouterr().out
    assert "regions whose phrase is blank, counted as misses: 1 (12)" in printed
    assert "images left out, their files are missing: 1 (2)" in printed


def test_the_real_schema_without_photographs_is_reported_not_crashed(checkpoint, real_data, capsys):
    options = ("--all-images", "--visual-genome", real_data / "visual_genome_schema")
    results = play(pointing_game, checkpoint, real_data, *options)
    assert results["regions"] == 0
    assert math.isnan(results["pointing_game"])
    assert len(results["missing_images"]) > 0
    assert "nothing could be scored" in capsys.readouterr().out


def test_limit_and_flags_of_2018(checkpoint, toy_root):
    results = play(pointing_game, checkpoint, toy_root, "--dataset", "toy", "--limit", "3")
    assert results["images"] == 3
    with pytest.raises(ValueError, match="no region in the images that were chosen"):
        play(pointing_game, checkpoint, toy_root, "--dataset", "toy", "-rv")  # toy regions: test
    args = semantic_seg.get_parser().parse_args(["-p", "x", "-ct", "0.3", "-bs", "2"])
    assert (args.threshold, args.batch_size) == (0.3, 2)


def test_segmentation_runs_and_absent_categories_make_the_published_figure_nan(
    checkpoint, toy_root, tmp_path, capsys
):
    options = ("--dataset", "toy", "--split", "test", "--json", tmp_path / "r.json")
    results = play(semantic_seg, checkpoint, toy_root, *options)
    assert results["images"] == 16
    assert results["absent_categories"]
    assert math.isnan(results["mAP@0.3/published"])
    assert json.loads((tmp_path / "r.json").read_text())["mAP@0.3/published"] is None
    assert 0 <= results["mAP@0.3"] <= 1
    assert 0 < results["mean_iou/whole_image"] < 0.3
    assert "published" in capsys.readouterr().out


def test_segmentation_runs_on_real_photographs(checkpoint, real_data):
    results = play(semantic_seg, checkpoint, real_data, "--image-size", "64")
    assert (results["images"], results["images_left_out"]) == (94, [])
    assert results["pairs"] > 200


def test_a_prompt_without_a_place_for_the_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        semantic_seg.get_parser().parse_args(["-p", "x", "--prompt", "a dog"])
    assert "does not say where the {name} goes" in capsys.readouterr().err


def test_localize_writes_a_panel_of_upright_images_in_their_own_size(
    checkpoint, toy_root, tmp_path, caplog
):
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.effect_noise((120, 80), 60).convert("RGB")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(photos / "turned.jpg", exif=exif)
    picture.save(photos / "flat.png")
    (photos / "broken.jpg").write_text("no image")
    options = ("-i", photos, "-t", "a dog", "two cats", "-o", tmp_path / "out", "--boxes", "--npz")
    results = play(localize, checkpoint, toy_root, *options, "--image-size", "64")
    assert len(results["left_out"]) == 1
    assert "broken.jpg" in caplog.text
    sizes = {}
    for entry in results["images"]:
        name = entry["image"].split("/")[-1].split(".")[0]
        sizes[name] = np.load(tmp_path / "out" / f"{name}.npz")["image_size"].tolist()
        assert Image.open(entry["file"]).width > 2 * sizes[name][0]
        for phrase in entry["phrases"]:
            x, y = phrase["peak"]
            assert 0 < x < sizes[name][0]
            assert 0 < y < sizes[name][1]
    assert sizes == {"turned": [80, 120], "flat": [120, 80]}
    assert np.load(tmp_path / "out" / "flat.npz")["heat_maps"].shape == (2, 8, 8)


def test_localize_needs_an_image_and_a_word(checkpoint, toy_root, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=r"absent\.jpg"):
        play(localize, checkpoint, toy_root, "-i", tmp_path / "absent.jpg", "-t", "a dog")
    photo = next((toy_root / "toy" / "coco" / "images" / "val2014").iterdir())
    with pytest.raises(ValueError, match="at least one word"):
        play(localize, checkpoint, toy_root, "-i", photo, "-t", " ")
