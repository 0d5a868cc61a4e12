import itertools
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

import pointing_game
import semantic_seg
from misc.checkpoints.checkpoint import load_model
from misc.cli.options import PEAK_SIGMA
from misc.data.captions import read_captions
from misc.data.paths import DataPaths, data_paths, find_word_vectors
from tests.evaluation.smoothing_twin import twin_smoothed
from tests.scripts.localization import SIZE, run, twin_heat_map


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """Regions as bad as they come, in four images of which one is missing and one is broken."""
    folder = tmp_path_factory.mktemp("visual_genome")
    sizes = {1: (60, 90), 2: (120, 40), 3: (50, 50), 4: (50, 50), 5: (30, 30)}
    generator = np.random.default_rng(0)
    for name in ("VG_100K", "VG_100K_2"):
        (folder / name).mkdir()
    for image_id, (width, height) in sizes.items():
        file = folder / ("VG_100K", "VG_100K_2")[image_id % 2] / f"{image_id}.jpg"
        if image_id == 3:
            continue
        if image_id == 4:
            file.write_bytes(b"no image")
            continue
        pixels = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(file)
    phrases = itertools.cycle(["a dog", "", "the red car on the left", "two cats", " \t", "sky"])
    regions = []
    for image_id in (4, 2, 1, 3):
        width, height = sizes[image_id]
        left, right = (0, 0, width / 2, height), (width / 2, 0, width / 2, height)
        boxes: list[tuple[float, ...]] = [left, right] * 3
        boxes += [(0, 0, width, height / 2), (3, 3, 0, 9), (width, 0, 5, 5), (2, 2, 4, 3)]
        regions.append(
            [
                {"region_id": 100 * image_id + number, "image_id": image_id}
                | {"phrase": next(phrases), "x": x, "y": y, "width": across, "height": down}
                for number, (x, y, across, down) in enumerate(boxes)
            ]
        )
    entries = [
        {"image_id": key, "width": width, "height": height, "coco_id": None}
        for key, (width, height) in sizes.items()
    ]
    descriptions = [{"id": group[0]["image_id"], "regions": group} for group in regions]
    (folder / "image_data.json").write_text(json.dumps(entries))
    text = json.dumps([*descriptions, {"id": 5, "regions": []}])
    (folder / "region_descriptions.json").write_text(text)
    return folder


def twin_pointing_game(model, word_vectors, folder):
    hits: dict[str, list[bool]] = {"centre": [], "corner": [], "smoothed": [], "large": []}
    sizes = {
        entry["image_id"]: (entry["width"], entry["height"])
        for entry in json.loads((folder / "image_data.json").read_text())
    }
    for entry in json.loads((folder / "region_descriptions.json").read_text()):
        for region in entry["regions"]:
            if region["image_id"] in (3, 4):
                continue
            width, height = sizes[region["image_id"]]
            path = next(folder.glob(f"*/{region['image_id']}.jpg"))
            x, y, w, h = (region[key] for key in ("x", "y", "width", "height"))
            hits["large"].append(w * h >= 0.05 * width * height)
            if not region["phrase"].strip():
                for name in ("centre", "corner", "smoothed"):
                    hits[name].append(False)
                continue
            heat = twin_heat_map(model, word_vectors, path, region["phrase"])
            smoothed = twin_smoothed(heat, PEAK_SIGMA)
            for name, twin, shift in (
                ("centre", heat, 4),  # cells of 8 pixels
                ("corner", heat, 0),
                ("smoothed", smoothed, 4),
            ):
                row, column = np.unravel_index(twin.argmax(), twin.shape)
                left = (column * 8 + shift) * width / SIZE
                top = (row * 8 + shift) * height / SIZE
                hits[name].append(x < left < x + w and y < top < y + h)
    return {name: np.array(values) for name, values in hits.items()}


def test_the_pointing_game_equals_a_twin_and_survives_the_worst_regions(
    checkpoint, genome, toy_root, tmp_path, capsys
):
    file = tmp_path / "results.json"
    options = ("--visual-genome", genome, "--all-images", "--json", file, "-bs", "2")
    results = run(pointing_game, checkpoint, toy_root, *options)
    model = load_model(checkpoint)
    word_vectors = find_word_vectors("", data_paths(toy_root, "toy"))
    twin = twin_pointing_game(model, word_vectors, genome)
    large = twin["large"]
    assert 0 < large.sum() < len(large) == results["regions"] == 20
    expected = {
        "pointing_game": twin["centre"],
        "pointing_game/published": twin["corner"],
        "pointing_game/smoothed": twin["smoothed"],
        "pointing_game@5%": twin["centre"][large],
        "pointing_game@5%/published": twin["corner"][large],
        "pointing_game@5%/smoothed": twin["smoothed"][large],
    }
    for key, hits in expected.items():
        assert results[key] == pytest.approx(100 * hits.mean(), abs=1e-6), key
    assert 0 < results["pointing_game"] < 100
    assert results["centre_baseline"] == pytest.approx(0)  # all boxes end at or before the middle
    assert (results["missing_images"], results["unreadable_images"]) == ([3], [4])
    assert results["missing_regions"] == list(range(300, 310))
    assert results["empty_boxes"] == [107, 207, 307, 407]
    assert results["outside_boxes"] == [108, 208, 308, 408]
    assert len(results["blank_phrases"]) == 13
    assert math.isnan(results["roc_area"])  # of no phrase it is sure that it is not there
    assert json.loads(file.read_text()) == results | {"roc_area": None}
    printed = capsys.readouterr().out
    assert "visual_genome: 2 of 4 images" in printed
    assert "regions whose phrase is blank, counted as misses: 13 (10" in printed
    assert "files are missing: 1 (3)" in printed


def test_annotations_that_are_none_are_counted_whatever_file_they_are_in(
    checkpoint, toy_root, tmp_path, capsys
):
    shutil.copytree(toy_root / "toy", tmp_path / "toy")
    folder = tmp_path / "toy/coco"
    for file, key in (
        ("dataset.json", "images"),
        ("annotations/captions_val2014.json", "images"),
        ("annotations/instances_val2014.json", "annotations"),
    ):
        content = json.loads((folder / file).read_text())
        content[key].append({"id": "no number"})
        (folder / file).write_text(json.dumps(content))
    regions = tmp_path / "toy/visual_genome/region_descriptions.json"
    regions.write_text(json.dumps([*json.loads(regions.read_text()), {"regions": [{}, {}]}]))
    found = run(pointing_game, checkpoint, tmp_path, "--dataset", "toy")
    assert found["annotations_left_out"] == 3  # one id of COCO, two regions
    assert "annotations left out, see the log: 3\n" in capsys.readouterr().out
    found = run(pointing_game, checkpoint, tmp_path / "toy", "--dataset", "coco", "-rv")
    assert found["annotations_left_out"] == 2  # one of Karpathy's entries, one thing


def test_batches_do_not_shift_phrases_against_boxes(checkpoint, toy_root):
    one, many = (
        run(pointing_game, checkpoint, toy_root, "--dataset", "toy", "-bs", size) for size in (1, 7)
    )
    assert one == many
    assert one["images"] == 16
    assert one["centre_baseline"] > 0
    limited = run(pointing_game, checkpoint, toy_root, "--dataset", "toy", "--limit", "3")
    assert limited["images"] == 3


def twin_of_categories(model, word_vectors, root, chosen):
    """For each image and category: its hit in any box, the centre's, and whether a box is large."""
    content = json.loads((root / "coco/annotations/instances_val2014.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = []
    for image in content["images"]:
        if chosen is not None and image["id"] not in chosen:
            continue
        width, height = image["width"], image["height"]
        boxes: dict[int, list[list[float]]] = {}
        for thing in content["annotations"]:
            if thing["image_id"] == image["id"] and not thing["iscrowd"]:
                boxes.setdefault(thing["category_id"], []).append(thing["bbox"])
        path = root / "coco/images/val2014" / image["file_name"]
        for category, rectangles in boxes.items():
            heat = twin_heat_map(model, word_vectors, path, f"one {names[category]}")
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            peak = (column * 8 + 4) * width / SIZE, (row * 8 + 4) * height / SIZE
            hits = [
                any(x < left < x + w and y < top < y + h for x, y, w, h in rectangles)
                for left, top in (peak, (width / 2, height / 2))
            ]
            large = any(w * h >= 0.05 * width * height for _, _, w, h in rectangles)
            found.append((category, *hits, large))
    return np.array(found)


@pytest.mark.parametrize("rest_val", [False, True])
def test_pointing_on_categories_equals_a_twin(checkpoint, toy_root, capsys, rest_val):
    root = toy_root / "toy"
    options = ["--dataset", "coco", "--prompt", "one {name}", *(["-rv"] if rest_val else [])]
    results = run(pointing_game, checkpoint, root, *options)
    model, word_vectors = load_model(checkpoint), find_word_vectors("", DataPaths(root))
    val = {image.image_id for image in read_captions(DataPaths(root), ("val",))}
    twin = twin_of_categories(model, word_vectors, root, val if rest_val else None)
    categories, hits, centre, large = twin.T
    assert results["regions"] == len(twin) > 10
    assert results["regions@5%"] == large.sum()
    assert results["pointing_game"] == pytest.approx(100 * hits.mean())
    assert results["centre_baseline"] == pytest.approx(100 * centre.mean())
    assert results["pointing_game@5%"] == pytest.approx(100 * hits[large == 1].mean())
    shares = [hits[categories == category].mean() for category in set(categories)]
    assert results["pointing_game@categories"] == pytest.approx(100 * np.mean(shares))
    assert "mean of the categories" in capsys.readouterr().out


def test_all_images_are_not_those_of_coco(checkpoint, toy_root):
    with pytest.raises(ValueError, match="--all-images is for Visual Genome"):
        run(pointing_game, checkpoint, toy_root / "toy", "--dataset", "coco", "--all-images")


def test_rest_val_asks_for_karpathys_val_images(checkpoint, toy_root):
    with pytest.raises(ValueError, match="no region in the images that were chosen, 0 of"):
        run(pointing_game, checkpoint, toy_root, "--dataset", "toy", "-rv")


def test_missing_photographs_are_reported_not_a_crash(
    checkpoint, toy_root, real_data, tmp_path, capsys
):
    folder, file = real_data / "visual_genome_schema", tmp_path / "results.json"
    options = ("--visual-genome", folder, "--all-images", "--json", file)
    results = run(pointing_game, checkpoint, toy_root, *options)
    assert math.isnan(results["pointing_game"])
    assert json.loads(file.read_text())["pointing_game"] is None
    assert len(results["missing_images"]) == 100
    assert len(results["missing_regions"]) == 7278
    assert results["annotations_left_out"] == 0
    assert "nothing could be scored" in capsys.readouterr().out


def test_more_components_than_there_are_is_an_error(checkpoint, toy_root):
    for script in (pointing_game, semantic_seg):
        with pytest.raises(ValueError, match="17 components of embeddings that have 16"):
            run(script, checkpoint, toy_root, "--dataset", "toy", "-k", "17")
