import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_masks

from misc.data.outlines import InstanceImage, category_masks, read_instances
from misc.data.paths import DataPaths


def instance_file(root, annotations, size=(9, 6)):
    width, height = size
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": width, "height": height}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 9, "name": "cat"}],
        "annotations": [{"image_id": 7, "iscrowd": 0, **entry} for entry in annotations],
    }
    paths = DataPaths(root)
    paths.instances.parent.mkdir(parents=True)
    paths.instances.write_text(json.dumps(content))
    return paths


def test_polygons_and_both_kinds_of_rle_become_the_union_of_a_categorys_masks(tmp_path):
    mask = np.zeros((6, 9), np.uint8)
    mask[1:3, 2:7] = 1
    other = np.zeros((6, 9), np.uint8)
    other[5, 8] = 1
    packed = coco_masks.encode(np.asfortranarray(mask))
    flat = other.ravel(order="F")
    annotations = [
        {
            "category_id": 9,
            "segmentation": {"size": [6, 9], "counts": packed["counts"].decode()},
        },
        {"category_id": 9, "segmentation": {"size": [6, 9], "counts": [len(flat) - 1, 1]}},
        {"category_id": 3, "segmentation": [[1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0]]},
    ]
    images, names = read_instances(instance_file(tmp_path, annotations))
    assert names == ["dog", "cat"]
    categories, drawn = category_masks(images[0])
    assert categories == [0, 1]
    assert (drawn[1].numpy() == (mask | other)).all()
    assert drawn[0].nonzero().tolist() == [[y, x] for y in (1, 2, 3) for x in (1, 2, 3)]
    published = category_masks(images[0], published=True)[1]
    assert (published[1] == drawn[1]).all()
    # The published filling takes the border in: corners 1 to 4 are four pixels, not three.
    assert published[0].nonzero().tolist() == [[y, x] for y in range(1, 5) for x in range(1, 5)]


def test_published_polygons_equal_a_twin_with_truncated_corners(real_data):
    images, _ = read_instances(DataPaths(real_data))
    content = json.loads(DataPaths(real_data).instances.read_text())
    ids = [category["id"] for category in content["categories"]]
    by_image = {image.image_id: image for image in images}
    assert any(image.size[0] != image.size[1] for image in images)
    for entry in content["images"][:30]:
        targets: dict[int, np.ndarray] = {}
        for annotation in content["annotations"]:
            if annotation["image_id"] != entry["id"]:
                continue
            target = targets.setdefault(
                ids.index(annotation["category_id"]),
                np.zeros((entry["height"], entry["width"]), np.uint8),
            )
            segmentation = annotation["segmentation"]
            if isinstance(segmentation, dict):
                encoded = coco_masks.frPyObjects(segmentation, entry["height"], entry["width"])
                target |= coco_masks.decode(encoded)
            else:
                for polygon in segmentation:
                    corners = np.array(polygon).reshape(-1, 2).astype(np.int32)
                    cv2.fillPoly(target, [corners], 1)
        categories, drawn = category_masks(by_image[entry["id"]], published=True)
        assert categories == sorted(targets)
        for category, mask in zip(categories, drawn, strict=True):
            assert (mask.numpy() == targets[category]).all()


def test_crowds_can_be_left_out_and_images_without_outlines_stay(tmp_path):
    square = [[0, 0, 3, 0, 3, 3]]
    crowd = {"category_id": 3, "segmentation": square, "iscrowd": 1}
    paths = instance_file(tmp_path, [crowd])
    assert len(read_instances(paths)[0][0].instances) == 1
    image = read_instances(paths, crowds=False)[0][0]
    categories, drawn = category_masks(image)
    assert categories == []
    assert drawn.shape == (0, 6, 9)


def test_an_encoding_of_another_size_is_an_error():
    image = InstanceImage(5, Path("a.jpg"), (9, 6), ((0, {"size": [9, 6], "counts": [54]}),))
    with pytest.raises(ValueError, match="image 5 has 9x6 pixels.*encoded for 6x9"):
        category_masks(image)
