"""What the pointing game says of phrases that are not there."""

import pytest
import torch

import pointing_game
from misc.checkpoints.checkpoint import load_model, save_checkpoint
from misc.data.paths import DataPaths, find_word_vectors
from misc.data.regions import read_category_boxes
from misc.evaluation.presence import roc_area
from misc.inference.encode import encode_images, encode_texts
from tests.scripts.localization import SIZE, run


def test_categories_that_are_not_in_an_image_are_asked_for_too(
    checkpoint, toy_root, tmp_path, capsys
):
    root = toy_root / "toy"
    model, images = load_model(checkpoint), read_category_boxes(DataPaths(root), "a {name}")
    embeddings, _, _ = encode_images(model, [image.path for image in images if image.path], SIZE, 8)
    config = {"config": {"word_vectors": "glove", "dataset": "toy"}}
    save_checkpoint(tmp_path / "a.pt", model, config, embeddings[::2].half().expand(2, -1, -1))
    results = run(pointing_game, tmp_path / "a.pt", root, "--dataset", "coco")
    phrases = sorted({phrase for image in images for phrase in image.phrases})
    texts = encode_texts(model, phrases, find_word_vectors("", DataPaths(root)))
    there = torch.tensor([[phrase in image.phrases for phrase in phrases] for image in images])
    assert results["phrases_there"] == there.sum()
    assert results["phrases_not_there"] == (~there).sum()
    twin = roc_area((embeddings @ texts.T).flatten(), there.flatten())
    assert results["roc_area"] == pytest.approx(twin, abs=1e-3)
    assert 0 < results["roc_area/percentile"] < 1
    printed = capsys.readouterr().out
    assert f"area under ROC, similarity         {twin:.3f}" in printed
    assert f"is it there? of {there.sum()} phrases of what is and {(~there).sum()}" in printed
