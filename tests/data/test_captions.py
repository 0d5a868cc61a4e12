import json

import pytest

from misc.data.captions import read_captions
from misc.data.paths import DataPaths, data_paths
from misc.runtime.failures import Failure

DOG = {"imgid": 7, "filename": "a.jpg", "split": "val", "sentences": [{"raw": "a dog"}]}


def write(root, text):
    paths = DataPaths(root)
    paths.split_file.parent.mkdir()
    paths.split_file.write_text(text, encoding="utf-8")
    return paths


def test_entries_and_captions_that_are_none_are_left_out_and_named(tmp_path, caplog):
    sentences = [{"raw": "a dog"}, {"raw": " "}, {"tokens": ["a", "cat"]}, {"raw": 5}, "a cow"]
    odd = [{"split": "val"}, DOG | {"split": ["val"]}, DOG | {"imgid": None}, None]
    odd.append(DOG | {"imgid": 2**70})
    paths = write(tmp_path, json.dumps({"images": [DOG | {"sentences": sentences}, *odd]}))
    left_out: list[Failure] = []
    (image,) = read_captions(paths, ("val",), left_out)
    assert image.captions == ("a dog",)
    assert len(left_out) == 9
    for reason in (
        "image 7 (a.jpg), caption 1: ' ' has no word",
        "image 7 (a.jpg), caption 2: there is no 'raw'",
        "image 7 (a.jpg), caption 3: 5 has no word",
        "image 7 (a.jpg), caption 4: ",
        "image 1: there is no 'imgid'",
        "image 2: ['val'] is no split",
        "image 3: ",
        "image 4: ",
        f"image 5: {2**70} is no id",
    ):
        assert caplog.text.count(f"left out: dataset.json, {reason}") == 1, reason


def test_what_is_left_out_of_other_splits_is_not_counted(tmp_path):
    other = DOG | {"split": "train", "sentences": [{"raw": ""}]}
    left_out: list[Failure] = []
    read_captions(write(tmp_path, json.dumps({"images": [DOG, other]})), ("val",), left_out)
    assert not left_out


@pytest.mark.parametrize(
    ("keys", "number", "path"),
    [
        ({"cocoid": 9, "filepath": "val2014"}, 9, "val2014/a.jpg"),
        ({"cocoid": "9", "filepath": None}, 9, "a.jpg"),
        ({"cocoid": None}, 7, "a.jpg"),
        ({"cocoid": 0}, 0, "a.jpg"),
    ],
)
def test_an_image_has_one_of_two_ids_and_a_folder_if_any(tmp_path, keys, number, path):
    paths = write(tmp_path, "\ufeff" + json.dumps({"images": [DOG | keys]}))  # a byte-order mark
    (image,) = read_captions(paths, ("val",))
    assert (image.image_id, image.path) == (number, paths.images / path)


def test_an_entry_needs_only_one_of_the_ids(tmp_path):
    entry = {key: value for key, value in DOG.items() if key != "imgid"} | {"cocoid": 3}
    (image,) = read_captions(write(tmp_path, json.dumps({"images": [entry]})), ("val",))
    assert image.image_id == 3


@pytest.mark.parametrize(
    "content", ["", "{}", '{"images": [{"split": "val"}]}', "[1]", "[" * 100_000]
)
def test_a_split_file_of_another_kind_is_an_error_that_names_it(tmp_path, content):
    with pytest.raises(ValueError, match=r"dataset\.json"):
        read_captions(write(tmp_path, content), ("val",))


def test_nothing_of_the_real_splits_is_left_out(real_data, caplog):
    splits = ("train", "restval", "val", "test")
    for dataset in ("coco", "flickr8k"):
        paths = DataPaths(real_data, dataset)
        listed = json.loads(paths.split_file.read_text(encoding="utf-8"))["images"]
        found = read_captions(paths, splits)
        assert len(found) == len(listed)
        assert sum(len(image.captions) for image in found) == 5 * len(listed)
    assert not caplog.text


def test_a_split_without_images_is_an_error_that_lists_those_there_are(toy_root):
    with pytest.raises(ValueError, match=r"no image in restval; it has train \(24\), val \(8\)"):
        read_captions(data_paths(toy_root, "toy"), ("restval",))
