import itertools
import json
import math

import numpy as np
import pytest

import pointing_game
import semantic_seg
from misc.checkpoints.checkpoint import load_model
from misc.data.paths import data_paths, find_word_vectors
from tests.evaluation.segmentation_twins import twin_overlap, twin_target, write_photographs
from tests.scripts.localization import run, twin_heat_map


def twin_segmentation(model, word_vectors, paths, crowds=True):
    content = json.loads(paths.instances.read_text())
    ours = []
    published: dict[int, list[float]] = {category["id"]: [] for category in content["categories"]}
    for image, category in itertools.product(content["images"], content["categories"]):
        annotations = [
            annotation
            for annotation in content["annotations"]
            if (annotation["image_id"], annotation["category_id"]) == (image["id"], category["id"])
            and (crowds or not annotation["iscrowd"])
        ]
        if not annotations:
            continue
        path = paths.images / "val2014" / image["file_name"]
        text = f"{category['name']} {category['name']}s"
        heat = twin_heat_map(model, word_vectors, path, text)
        size = image["width"], image["height"]
        ours.append(twin_overlap(heat, twin_target(annotations, *size, published=False)))
        target = twin_target(annotations, *size, published=True)
        published[category["id"]].append(twin_overlap(heat, target))
    return ours, published


def check_against_twin(results, ours, published):
    assert results["pairs"] == len(ours)
    assert results["mean_iou"] == pytest.approx(np.mean(ours), abs=1e-6)
    for threshold in (0.3, 0.4, 0.5):
        precisions = [
            max(sum(iou > threshold for iou in ious) - 1, 0) / len(ious) if ious else math.nan
            for ious in published.values()
        ]
        expected = pytest.approx(np.mean(precisions), abs=1e-6, nan_ok=True)
        assert results[f"mAP@{threshold}/published"] == expected
        assert 0 <= results[f"mAP@{threshold}"] <= 1


def test_segmentation_of_scenes_equals_a_twin(checkpoint, toy_root, tmp_path, capsys):
    file = tmp_path / "results.json"
    results = run(semantic_seg, checkpoint, toy_root, "--dataset", "toy", "--json", file)
    paths = data_paths(toy_root, "toy")
    word_vectors = find_word_vectors("", paths)
    ours, published = twin_segmentation(load_model(checkpoint), word_vectors, paths)
    check_against_twin(results, ours, published)
    assert results["absent_categories"]
    assert math.isnan(results["mAP@0.5/published"])
    assert json.loads(file.read_text())["mAP@0.5/published"] is None
    assert results["images"] == 24  # validation and test
    printed = capsys.readouterr().out
    assert "nan" in printed
    assert "categories in none of the images" in printed


@pytest.fixture
def two_photographs(tmp_path):
    return write_photographs(tmp_path / "root")


@pytest.mark.parametrize("crowds", [True, False])
def test_segmentation_of_photographs_equals_a_twin(checkpoint, two_photographs, toy_root, crowds):
    word_folder = data_paths(toy_root, "toy").word_vectors
    options = ["--dataset", "coco", "--word-vectors", word_folder] + ["--no-crowd"] * (not crowds)
    results = run(semantic_seg, checkpoint, two_photographs.root, *options)
    word_vectors = find_word_vectors(str(word_folder), two_photographs)
    twin = twin_segmentation(load_model(checkpoint), word_vectors, two_photographs, crowds)
    check_against_twin(results, *twin)
    assert results["images"] == 3
    assert not math.isnan(results["mAP@0.3/published"])


def test_a_mask_of_the_whole_image_does_not_become_empty(checkpoint, two_photographs, toy_root):
    content = json.loads(two_photographs.instances.read_text())
    content["annotations"] = content["annotations"][3:]
    content["annotations"][0]["segmentation"] = [[0, 0, 96, 0, 96, 57, 0, 57]]
    two_photographs.instances.write_text(json.dumps(content))
    words = data_paths(toy_root, "toy").word_vectors
    results = run(semantic_seg, checkpoint, two_photographs.root, "--word-vectors", words)
    assert results["mean_iou/whole_image"] == 1
    assert results["mean_iou"] > 0


def test_unreadable_photographs_are_left_out_and_listed(checkpoint, two_photographs, toy_root):
    (two_photographs.images / "val2014" / "2.jpg").write_bytes(b"no image")
    words = data_paths(toy_root, "toy").word_vectors
    results = run(semantic_seg, checkpoint, two_photographs.root, "--word-vectors", words)
    assert (results["images"], results["pairs"], results["images_left_out"]) == (2, 1, [2])


def test_annotations_that_are_none_are_counted_in_the_results_and_the_report(
    checkpoint, two_photographs, toy_root, capsys
):
    content = json.loads(two_photographs.instances.read_text())
    outlines: list[object] = [[[]], [[1, 2, 3]], None]
    for number, outline in enumerate(outlines):
        odd = {"id": number, "image_id": 1, "category_id": 5, "segmentation": outline}
        content["annotations"].append(odd)
    two_photographs.instances.write_text(json.dumps(content))
    words = data_paths(toy_root, "toy").word_vectors
    results = run(semantic_seg, checkpoint, two_photographs.root, "--word-vectors", words)
    assert (results["pairs"], results["annotations_left_out"]) == (2, 3)
    assert "annotations left out, see the log: 3\n" in capsys.readouterr().out


def test_real_photographs_are_segmented(checkpoint, toy_root, real_data):
    words = data_paths(toy_root, "toy").word_vectors
    results = run(semantic_seg, checkpoint, real_data, "--word-vectors", words)
    assert (results["images"], results["pairs"], results["images_left_out"]) == (94, 381, [])
    assert results["annotations_left_out"] == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [(["-ct", "1"], "not from 0"), (["-k", "0"], "0")],
)
def test_wrong_options_are_refused_with_a_reason(option, message, capsys):
    with pytest.raises(SystemExit):
        semantic_seg.get_parser().parse_args(["-p", "model.pt", *option])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("script", [semantic_seg, pointing_game])
@pytest.mark.parametrize("prompt", ["", "  ", "a dog"])
def test_a_prompt_has_a_place_for_the_name(script, prompt, capsys):
    with pytest.raises(SystemExit):
        script.get_parser().parse_args(["-p", "model.pt", "--prompt", prompt])
    assert f"{prompt!r} does not say where the {{name}} goes" in capsys.readouterr().err
