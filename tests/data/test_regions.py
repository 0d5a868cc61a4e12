import dataclasses
import json

import pytest
import torch

from misc.data.paths import DataPaths, data_paths
from misc.data.regions import read_coco_ids, read_regions
from misc.runtime.failures import Failure


def genome(root, images, regions):
    paths = DataPaths(root)
    paths.regions.parent.mkdir(parents=True)
    paths.region_images.write_text(json.dumps(images))
    paths.regions.write_text(json.dumps(regions))
    return paths


def region(number, image_id, phrase):
    box = {"x": number, "y": 2, "width": 3, "height": 4}
    return {"region_id": number, "image_id": image_id, "phrase": phrase, **box}


def test_regions_are_joined_by_id_not_by_order_and_filtered_by_coco_id(tmp_path):
    images = [
        {"image_id": number, "width": 10 * number, "height": 5, "coco_id": coco}
        for number, coco in ((1, None), (2, 20), (3, 30))
    ]
    regions = [
        {"id": 3, "regions": [region(31, 3, "c")]},
        {"id": 1, "regions": [region(11, 1, "a")]},
        {"id": 2, "regions": [region(21, 2, "b"), region(22, 2, "")]},
    ]
    paths = genome(tmp_path, images, regions)
    folder = paths.region_image_folders[1]
    folder.mkdir()
    (folder / "2.jpg").touch()
    read = read_regions(paths, {20, 30})
    assert [image.image_id for image in read] == [2, 3]
    assert read[0].phrases == ("b", "")
    assert read[0].boxes.tolist() == [[21, 2, 3, 4], [22, 2, 3, 4]]
    assert read[0].size == (20, 5)
    assert (read[0].path, read[1].path) == (folder / "2.jpg", None)
    assert len(read_regions(paths)) == 3
    with pytest.raises(ValueError, match="no region in the images that were chosen"):
        read_regions(paths, {99})


@pytest.mark.parametrize("content", ["", "[{", '{"images": "x"}'])
def test_broken_files_are_errors_that_name_them(tmp_path, content):
    paths = genome(tmp_path, [], [])
    paths.region_images.write_text(content)
    with pytest.raises(ValueError, match=r"image_data\.json|region_descriptions\.json"):
        read_regions(paths)


def test_the_ids_of_coco_are_those_of_its_images(toy_root):
    paths = data_paths(toy_root, "toy")
    content = json.loads(paths.captions.read_text())
    assert read_coco_ids(paths) == {image["id"] for image in content["images"]}
    with pytest.raises(FileNotFoundError, match="captions_val2014"):
        read_coco_ids(DataPaths(toy_root / "absent"))


def test_the_real_schema_is_read(real_data):
    folder = real_data / "visual_genome_schema"
    content = json.loads((folder / "region_descriptions.json").read_text())
    paths = dataclasses.replace(DataPaths(real_data), visual_genome=folder)
    read = {image.image_id: image for image in read_regions(paths)}
    for entry in content:
        if entry["regions"]:
            image = read[entry["regions"][0]["image_id"]]
            boxes = [[r["x"], r["y"], r["width"], r["height"]] for r in entry["regions"]]
            assert torch.equal(image.boxes, torch.tensor(boxes).float())
            assert image.phrases == tuple(r["phrase"] for r in entry["regions"])


def test_odd_regions_are_read_or_named_and_what_is_listed_twice_counts_once(tmp_path, caplog):
    images: list[object] = [{"image_id": 1, "width": 9, "height": 9, "coco_id": None}] * 2
    images += [{"image_id": "2", "width": "9", "height": 9, "coco_id": 5}, {"width": 3}, None]
    listed = [region(10, 1, None), region(10, 1, None), region(11, 1, 42), region(12, 1, ["a"])]
    listed += [
        region("13", 1, "a") | {"x": None},
        region(2**64 - 1.0, 1, ""),
        region(14, "2", "b"),
        region(None, 1, ""),
        "x",
    ]
    paths = genome(tmp_path, images, [{"id": 1, "regions": listed}])
    left_out: list[Failure] = []
    first, second = read_regions(paths, left_out=left_out)
    assert len(left_out) == 7
    assert (first.region_ids, first.phrases) == ((10, 11), ("", "42"))
    assert (second.image_id, second.region_ids) == (2, (14,))
    assert "region_descriptions.json, region 3: a phrase is a text, not ['a']" in caplog.text
    assert caplog.text.count("left out: region_descriptions.json") == 5
    assert caplog.text.count("left out: image_data.json") == 2


def test_what_is_listed_before_and_otherwise_is_named_as_are_images_that_are_not_listed(
    tmp_path, caplog
):
    image = {"image_id": 1, "width": 9, "height": 9, "coco_id": "20"}
    images = [image, image | {"width": 8}, image | {"image_id": 2, "width": 0}]
    images.append(image | {"image_id": 3, "coco_id": 30})
    listed = [region(10, 1, "a"), region(10, 1, "b"), region(10, 1, "a") | {"x": 11}]
    listed += [region(20, 2, "c"), region(30, 3, "d"), region(40, 4, "e")]
    paths = genome(tmp_path, images, [{"regions": listed}, {"regions": None}, {"id": 5}])
    left_out: list[Failure] = []
    (found,) = read_regions(paths, {20}, left_out)
    assert (found.image_id, found.size, found.phrases) == (1, (9, 9), ("a",))
    assert [failure.name for failure in left_out] == [
        "image_data.json, entry 1", "image_data.json, entry 2",
        "region_descriptions.json, region 1", "region_descriptions.json, region 2",
        "region_descriptions.json, region 3", "region_descriptions.json, region 5",
        "region_descriptions.json, entry 1", "region_descriptions.json, entry 2",
    ]  # fmt: skip
    for reason in (
        "region 10 is listed before, and otherwise",
        "entry 2: 0 x 9 pixels are no size",
        "region 3: there is no image 2",
        "region 5: there is no image 4",
    ):
        assert reason in caplog.text


def test_ids_of_coco_may_be_strings_and_odd_ones_are_named(tmp_path, caplog):
    paths = DataPaths(tmp_path)
    paths.captions.parent.mkdir(parents=True)
    images: list[object] = [{"id": number} for number in (1, "2", None, "x", 1e308)]
    paths.captions.write_text(json.dumps({"images": [*images, {"file_name": "a.jpg"}, "x"]}))
    assert read_coco_ids(paths) == {1, 2}
    assert caplog.text.count("left out: captions_val2014.json, image ") == 5
