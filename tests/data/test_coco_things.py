import json
import math

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from misc.data.outlines import _unpacked, category_masks, read_instances
from misc.data.paths import DataPaths
from misc.data.regions import read_category_boxes
from misc.runtime.failures import Failure

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
BOX = [1, 1, 4, 4]
GOOD = {"id": 7, "image_id": 1, "category_id": 3, "segmentation": SQUARE, "bbox": BOX}


def write(tmp_path, annotations, images=(), categories=()):
    paths = DataPaths(tmp_path)
    paths.instances.parent.mkdir(parents=True, exist_ok=True)
    image = {"id": 1, "file_name": "a.jpg", "width": 10, "height": 8}
    content = {
        "images": [image, *images],
        "categories": [{"id": 3, "name": "dog"}, *categories],
        "annotations": annotations,
    }
    paths.instances.write_text(json.dumps(content), encoding="utf-8")
    return paths


def encoded(**changes):
    return {"size": [8, 10], "counts": [10, 20, 50], **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"segmentation": [[]]}, "a polygon has pairs of numbers"),
        ({"segmentation": []}, "it has no polygon"),
        ({"segmentation": [[1, 2, 3]]}, "a polygon has pairs of numbers"),
        ({"segmentation": [[1, 1, math.nan, 1, 5, 5]]}, "a polygon is not in an image of 10x8"),
        ({"segmentation": [[1, 1, 1e9, 1, 5, 5]]}, "a polygon is not in an image of 10x8"),
        ({"segmentation": [["a", 1]]}, "could not convert string to float"),
        ({"segmentation": None}, "'NoneType' object is not iterable"),
        ({"segmentation": encoded(size=[9, 10])}, "it is encoded for [9, 10], not [8, 10]"),
        ({"segmentation": encoded(counts=[10, 20])}, "its runs add up to 30 pixels, not 80"),
        ({"segmentation": encoded(counts=[-10, 90])}, "its runs add up to 80 pixels, not 80"),
        ({"segmentation": encoded(counts="oooo")}, "its runs are cut off"),
        ({"segmentation": encoded(counts="111")}, "its runs add up to"),
        ({"segmentation": encoded(counts="\0")}, "packs no run"),
        ({"image_id": 2}, "the file lists no image 2"),
        ({"image_id": "x"}, "invalid literal for int()"),
        ({"category_id": 9}, "the file has no category 9"),
    ],
)
def test_an_outline_that_is_none_is_left_out_with_its_id(tmp_path, caplog, changes, reason):
    paths = write(tmp_path, [GOOD, {**GOOD, "id": 99, **changes}, {**GOOD, "image_id": "1"}])
    left_out: list[Failure] = []
    images, names = read_instances(paths, left_out=left_out)
    assert names == ["dog"]
    assert len(images[0].instances) == 2
    assert "left out: instances_val2014.json, annotation 99: " in caplog.text
    assert reason in caplog.text
    assert len(left_out) == 1
    assert category_masks(images[0])[1].sum() == 16


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, math.nan], ["a", 1, 2, 3]])
def test_a_box_that_is_none_is_left_out_with_its_id(tmp_path, caplog, box):
    paths = write(tmp_path, [GOOD, {**GOOD, "id": 99, "bbox": box}])
    left_out: list[Failure] = []
    (image,) = read_category_boxes(paths, "a {name}", left_out)
    assert image.boxes.tolist() == [BOX]
    assert "annotation 99: " in caplog.text
    assert len(left_out) == 1


def test_crowds_are_what_says_so(tmp_path, caplog):
    crowds = [{**GOOD, "iscrowd": value} for value in (1, "1", 0, "0", None)]
    paths = write(tmp_path, [GOOD, *crowds])
    assert len(read_instances(paths)[0][0].instances) == 6
    assert len(read_instances(paths, crowds=False)[0][0].instances) == 4
    assert not caplog.text


def test_images_and_categories_may_be_wrong_or_listed_twice(tmp_path, caplog):
    image = {"id": "1", "file_name": "a.jpg", "width": "10", "height": 8}
    images = [image, {**image, "width": 9}, {**image, "id": 2, "width": 0}, {"id": 3}, "x"]
    images += [{**image, "id": 4, "width": 2**70}, {**image, "id": 2**70}]
    categories = [{"id": 4}, {"id": "5", "name": "cat"}, None, {"id": 2**70, "name": "cow"}]
    paths = write(tmp_path, [GOOD], images, categories)
    found, names = read_instances(paths)
    assert [(image.image_id, image.size) for image in found] == [(1, (10, 8))]
    assert names == ["dog", "cat"]
    for reason in (
        "image 1: it is listed before, and otherwise",
        "image 2: 0 x 8 pixels are no size",
        "image 3: ",
        "image that is no object: ",
        "image 4: 1.181e+21 x 8 pixels are no size",
        f"image {2**70}: {2**70} is no id",
        f"category {2**70}: {2**70} is no id",
        "category 4: there is no 'name'",
        "category that is no object: ",
    ):
        assert caplog.text.count(f"left out: instances_val2014.json, {reason}") == 1, reason


def test_packed_runs_are_those_of_cocos_own_tools():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.asfortranarray(rng.random((9, 13)) < rng.random(), dtype=np.uint8)
        packed = coco_masks.encode(mask)["counts"].decode("ascii")
        runs = _unpacked(packed)
        assert sum(runs) == mask.size
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        assert (flat == mask.ravel(order="F")).all()


def test_nothing_of_the_real_annotations_is_left_out(real_data, caplog):
    images, names = read_instances(DataPaths(real_data))
    assert len(names) == 80 and sum(len(image.instances) for image in images) > 500
    read_category_boxes(DataPaths(real_data), "a {name}")
    assert not caplog.text
