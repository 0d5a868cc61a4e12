import itertools
import json
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_masks

import localize
import pointing_game
import semantic_seg
from misc.checkpoints.checkpoint import load_model, save_checkpoint
from misc.data.captions import read_captions
from misc.data.outlines import read_instances
from misc.data.paths import DataPaths, data_paths, find_word_vectors
from misc.data.regions import RegionImage
from misc.data.transforms import evaluation_transform, load_image
from misc.evaluation.pointing import score_regions, unusual_regions
from misc.evaluation.segmentation import score_pairs
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

SIZE, COMPONENTS = 48, 5


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    model = JointEmbedding(ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1))
    save_checkpoint(path, model, {"config": {"word_vectors": "glove", "dataset": "toy"}})
    return path


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
        boxes = [(0, 0, width / 2, height), (width / 2, 0, width / 2, height)] * 3
        boxes += [(0, 0, width, height / 2), (3, 3, 0, 9), (width, 0, 5, 5), (2, 2, 4, 3)]
        regions.append(
            [
                {
                    "region_id": 100 * image_id + number,
                    "image_id": image_id,
                    "phrase": next(phrases),
                    **dict(zip(("x", "y", "width", "height"), box, strict=True)),
                }
                for number, box in enumerate(boxes)
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


def run(script, checkpoint, root, *options):
    command = ["-p", checkpoint, "--data-root", root, "--workers", "0", "--device", "cpu"]
    command += ["--image-size", SIZE, "-k", COMPONENTS, *options]
    return script.main(script.get_parser().parse_args(list(map(str, command))))


@torch.inference_mode()
def twin_heat_map(model, word_vectors, path, text):
    """One image, one text, one component after the other."""
    image = evaluation_transform(SIZE, ModelConfig().image_statistics)(load_image(path))[None]
    maps = model.activation_maps(image)[0].numpy()
    embedding = model.encode_text(*word_vectors.batch([word_vectors.rows(text)]))[0].numpy()
    chosen = np.argsort(embedding)[::-1][:COMPONENTS]
    return sum(np.abs(embedding[u]) * maps[u] for u in chosen)


def twin_pointing_game(model, word_vectors, folder):
    hits = {"centre": [], "corner": [], "large": []}
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
                hits["centre"].append(False)
                hits["corner"].append(False)
                continue
            heat = twin_heat_map(model, word_vectors, path, region["phrase"])
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            for name, shift in (("centre", 4), ("corner", 0)):  # cells of 8 pixels
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
        "pointing_game@5%": twin["centre"][large],
        "pointing_game@5%/published": twin["corner"][large],
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
    assert json.loads(file.read_text()) == results
    printed = capsys.readouterr().out
    assert "visual_genome: 2 of 4 images" in printed
    assert "regions whose phrase is blank, counted as misses: 13 (10" in printed
    assert "files are missing: 1 (3)" in printed


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
        boxes = {}
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


def test_a_hit_in_any_box_of_a_category_counts():
    image = RegionImage(
        1, None, (100, 100), (7, 9), ("a cat", "a dog"),
        boxes=torch.tensor([[0.0, 0, 30, 30], [40, 40, 30, 30], [70, 70, 20, 20]]),
        phrase_of_box=torch.tensor([0, 0, 1]),
    )  # fmt: skip
    heat = torch.zeros(2, 10, 10)
    heat[0, 5, 5] = heat[1, 5, 5] = 1  # its centre is at (55, 55)
    assert score_regions(image, heat).tolist() == [[True, True, True], [False, False, False]]


def test_an_empty_box_is_told_under_the_id_of_its_own_phrase():
    image = RegionImage(
        1, None, (100, 100), (7, 9), ("a cat", "a dog"),
        boxes=torch.tensor([[0.0, 0, 0, 30], [40, 40, 30, 30]]), phrase_of_box=torch.tensor([1, 0]),
    )  # fmt: skip
    assert unusual_regions([image])["empty_boxes"] == [9]


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
    assert "nothing could be scored" in capsys.readouterr().out


def test_more_components_than_there_are_is_an_error(checkpoint, toy_root):
    for script in (pointing_game, semantic_seg):
        with pytest.raises(ValueError, match="17 components of embeddings that have 16"):
            run(script, checkpoint, toy_root, "--dataset", "toy", "-k", "17")


def twin_target(annotations, width, height, published):
    target = np.zeros((height, width), np.uint8)
    for annotation in annotations:
        outline = annotation["segmentation"]
        if isinstance(outline, dict) or not published:
            if isinstance(outline, list) or isinstance(outline["counts"], list):
                outline = coco_masks.frPyObjects(outline, height, width)
            outline = coco_masks.merge(outline) if isinstance(outline, list) else outline
            target |= coco_masks.decode(outline)
            continue
        for polygon in outline:
            cv2.fillPoly(target, [np.array(polygon).reshape(-1, 2).astype(np.int32)], 1)
    if published:
        target = cv2.resize(target, (200, 200), interpolation=cv2.INTER_NEAREST)
    return target.astype(bool)


def twin_overlap(heat, target):
    stretched = (heat - heat.min()) / (heat.max() - heat.min())
    size = target.shape[::-1]
    resized = cv2.resize(stretched.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
    mask = resized > 0.45 * (resized.max() - resized.min())
    return (mask & target).sum() / (mask | target).sum()


def twin_segmentation(model, word_vectors, paths, crowds=True):
    content = json.loads(paths.instances.read_text())
    ours, published = [], {category["id"]: [] for category in content["categories"]}
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


def test_overlaps_of_photographs_equal_twins_of_both_kinds(two_photographs):
    image = read_instances(two_photographs)[0][0]
    heat = torch.randn(1, 13, 13, generator=torch.Generator().manual_seed(0))
    annotations = json.loads(two_photographs.instances.read_text())["annotations"][:2]
    targets = [twin_target(annotations, 96, 57, published) for published in (False, True)]
    expected = [twin_overlap(heat[0].numpy(), target) for target in targets]
    categories, overlaps = score_pairs(image, heat, 0.45)
    assert categories == [0]
    assert overlaps[0].tolist() == pytest.approx([*expected, targets[0].mean()], abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3


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
    """Two wide photographs of one category, in polygons and both kinds of run lengths."""
    paths = DataPaths(tmp_path / "root")
    (paths.images / "val2014").mkdir(parents=True)
    paths.instances.parent.mkdir(parents=True)
    generator, outlines = np.random.default_rng(1), []
    for image_id in (1, 2, 3):
        pixels = generator.integers(0, 256, (7, 12, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((96, 57))
        image.save(paths.images / "val2014" / f"{image_id}.jpg")
    mask = np.zeros((57, 96), np.uint8)
    mask[10:40, 5:60] = 1
    packed = coco_masks.encode(np.asfortranarray(mask))
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]]))).tolist()
    counts = [b - a for a, b in itertools.pairwise([0, *edges, len(flat)])]
    outlines = [
        (1, 0, [[3.7, 5.9, 60.2, 5.1, 50.6, 50.8], [40, 20, 90.9, 20.9, 90.9, 55.5, 40, 55]]),
        (1, 0, {"size": [57, 96], "counts": packed["counts"].decode()}),
        (2, 1, {"size": [57, 96], "counts": counts}),
        (2, 0, [[70.8, 0, 96, 0, 96, 30.9, 70.8, 30.9]]),
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 57} for i in (1, 2, 3)
        ],
        "categories": [{"id": 5, "name": "dog"}],
        "annotations": [
            {"image_id": i, "category_id": 5, "iscrowd": crowd, "segmentation": outline}
            for i, crowd, outline in outlines
        ],
    }
    paths.instances.write_text(json.dumps(content))
    return paths


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


def test_real_photographs_are_segmented(checkpoint, toy_root, real_data):
    words = data_paths(toy_root, "toy").word_vectors
    results = run(semantic_seg, checkpoint, real_data, "--word-vectors", words)
    assert (results["images"], results["pairs"], results["images_left_out"]) == (94, 381, [])


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--prompt", "x"], "does not say where"), (["-ct", "1"], "not from 0"), (["-k", "0"], "0")],
)
def test_wrong_options_are_refused_with_a_reason(option, message, capsys):
    with pytest.raises(SystemExit):
        semantic_seg.get_parser().parse_args(["-p", "model.pt", *option])
    assert message in capsys.readouterr().err


def picture(file, size=(90, 60), orientation=None):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).resize(size).save(file, exif=exif)
    return file


def test_localize_writes_a_picture_and_raw_heat_maps_an_image(checkpoint, toy_root, tmp_path):
    upright = picture(tmp_path / "photo.jpg")
    folder = tmp_path / "folders" / "more"
    folder.mkdir(parents=True)
    picture(folder / "photo.png")
    turned = picture(folder / "turned.jpg", orientation=6)
    out = tmp_path / "out"
    options = [
        "-i",
        upright,
        folder.parent,
        "-r",
        "-t",
        "a burger",
        "beans",
        "-o",
        out,
        "--boxes",
        "--npz",
    ]
    results = run(localize, checkpoint, toy_root, *options)
    names = ["photo", "photo-2", "turned"]
    assert sorted(file.name for file in out.iterdir()) == sorted(
        f"{name}{suffix}" for name in names for suffix in (".png", ".npz")
    )
    with np.load(out / "turned.npz", allow_pickle=False) as raw:
        assert raw["image_size"].tolist() == [60, 90]
        assert raw["phrases"].tolist() == ["a burger", "beans"]
        assert raw["heat_maps"].shape == (2, 6, 6)
        words = find_word_vectors("", data_paths(toy_root, "toy"))
        twin = twin_heat_map(load_model(checkpoint), words, turned, "beans")
        np.testing.assert_allclose(raw["heat_maps"][1], twin, rtol=1e-4, atol=1e-5)
        assert raw["peaks"].tolist() == [entry["peak"] for entry in results["images"][2]["phrases"]]
        row, column = np.unravel_index(twin.argmax(), twin.shape)
        assert raw["peaks"][1].tolist() == [(column + 0.5) * 10, (row + 0.5) * 15]
    with Image.open(out / "photo.png") as panel:
        assert panel.width > 3 * 90


def test_localize_leaves_out_what_it_cannot_read(checkpoint, toy_root, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    options = ["-t", "a dog", "-o", tmp_path / "out"]
    with pytest.raises(ValueError, match="none of the 1 images"):
        run(localize, checkpoint, toy_root, "-i", broken, *options)
    fine = picture(tmp_path / "fine.jpg")
    results = run(localize, checkpoint, toy_root, "-i", broken, fine, *options)
    assert results["left_out"] == [str(broken)]
    assert len(results["images"]) == 1
    with pytest.raises(ValueError, match="at least one word"):
        run(localize, checkpoint, toy_root, "-i", fine, "-t", " ", "-o", tmp_path / "out")
