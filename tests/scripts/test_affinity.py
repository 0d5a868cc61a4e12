"""Heat maps that are shared among locations that look alike, in the scripts that draw them."""

import dataclasses

import numpy as np
import pytest

import localize
import pointing_game
import search
import semantic_seg
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from misc.data.paths import DataPaths, data_paths, find_word_vectors
from misc.data.regions import read_category_boxes
from misc.embedder import Embedder
from misc.features.writing import save_embeddings
from misc.pictures import __main__ as pictures
from tests.features.rows import unit_rows
from tests.scripts.localization import COMPONENTS, SIZE, run, twin_heat_map

AFFINITY = 6


def photographs(toy_root):
    return sorted((toy_root / "toy/coco/images/val2014").iterdir())


def raw_heat_map(checkpoint, toy_root, photo, folder, *options):
    options = "-i", photo, "-t", "a dog", "-o", folder, "--npz", *options
    run(localize, checkpoint, toy_root, *options)
    with np.load(folder / f"{photo.stem}.npz") as raw:
        return raw["heat_maps"][0]


def test_heat_maps_are_shared_by_the_option_or_as_the_model_says(checkpoint, toy_root, tmp_path):
    model, photo = load_model(checkpoint), photographs(toy_root)[0]
    model.config = dataclasses.replace(model.config, localization_affinity=AFFINITY)
    save_checkpoint(tmp_path / "own.pt", model, read_checkpoint(checkpoint).training)
    words = find_word_vectors("", data_paths(toy_root, "toy"))
    shared = twin_heat_map(model, words, photo, "a dog", AFFINITY)
    plain = twin_heat_map(model, words, photo, "a dog")
    assert not np.allclose(shared, plain, rtol=0.1)
    for checkpoint_, options, twin in (
        (checkpoint, (), plain),
        (checkpoint, ("--affinity", AFFINITY), shared),
        (tmp_path / "own.pt", (), shared),
        (tmp_path / "own.pt", ("--affinity", 0), plain),
    ):
        heat = raw_heat_map(checkpoint_, toy_root, photo, tmp_path / "out", *options)
        np.testing.assert_allclose(heat, twin, rtol=1e-3, atol=1e-5)
    embedder = Embedder(tmp_path / "own.pt", device="cpu", data_root=toy_root, image_size=SIZE)
    for affinity, twin in ((None, shared), (0, plain)):
        heat = embedder.localize(photo, ["a dog"], COMPONENTS, affinity)[0]
        np.testing.assert_allclose(heat, twin, rtol=1e-3, atol=1e-5)


def test_the_published_peak_is_of_maps_that_are_not_shared(checkpoint, toy_root):
    root = toy_root / "toy"
    options = "--dataset", "coco", "--affinity"
    plain, shared = (run(pointing_game, checkpoint, root, *options, x) for x in (0, AFFINITY))
    assert shared["pointing_game/published"] == plain["pointing_game/published"]
    assert f"shared with affinity {AFFINITY}, " in shared["protocol"]
    assert "affinity" not in plain["protocol"]
    model, words = load_model(checkpoint), find_word_vectors("", DataPaths(root))
    hits = []
    for image in read_category_boxes(DataPaths(root), "a {name}"):
        for number, phrase in enumerate(image.phrases):
            heat = twin_heat_map(model, words, image.path, phrase, AFFINITY)
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            point = np.array([column + 0.5, row + 0.5]) * 8 / SIZE * image.size
            boxes = image.boxes[image.phrase_of_box == number].numpy()
            inside = (boxes[:, :2] < point) & (point < boxes[:, :2] + boxes[:, 2:])
            hits.append(inside.all(axis=1).any())
    assert shared["pointing_game"] == pytest.approx(100 * np.mean(hits))


def test_masks_and_sheets_are_of_shared_maps_if_that_is_asked_for(checkpoint, toy_root, tmp_path):
    root, results = toy_root / "toy", {}
    names = [str(photo) for photo in photographs(toy_root)[:4]]
    save_embeddings(tmp_path / "images.npz", names, unit_rows(4))
    hits = tmp_path / "hits.csv"
    run(pointing_game, checkpoint, root, "--dataset", "coco", "--save-hits", hits)
    for affinity in (0, AFFINITY):
        own = "--affinity", affinity
        scores = run(semantic_seg, checkpoint, toy_root, "--dataset", "toy", *own)
        assert ("shared with affinity 6, masks" in scores["protocol"]) == (affinity == AFFINITY)
        sheet, misses = tmp_path / f"sheet{affinity}.png", tmp_path / f"misses{affinity}.png"
        run(search, checkpoint, toy_root, "a dog", "-f", tmp_path / "images.npz", *own,
            "--top", 2, "--open-panel", sheet)  # fmt: skip
        command = ["failures", hits, "-p", checkpoint, "-o", misses, "--data-root", root, *own]
        pictures.main(pictures.get_parser().parse_args(list(map(str, command + ["-k", 5]))))
        results[affinity] = scores["mean_iou"], sheet.read_bytes(), misses.read_bytes()
    assert all(one != other for one, other in zip(results[0], results[AFFINITY], strict=True))


@pytest.mark.parametrize("number", ["-1", "nan", "inf", "much"])
def test_what_is_no_affinity_is_refused(number, capsys):
    with pytest.raises(SystemExit):
        localize.get_parser().parse_args(["--affinity", number, "-i", "a.jpg", "-t", "a dog"])
    assert "--affinity" in capsys.readouterr().err
