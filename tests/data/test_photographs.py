import os
from pathlib import Path

import pytest

from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.outlines import read_instances
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs, only_found, photograph_id
from misc.data.regions import read_coco_ids
from tests.data.coco_layouts import LAYOUTS, lay_out


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("COCO_val2014_000000000042.jpg", 42),
        ("000000000042.jpg", 42),
        ("1000268201_693b08cb0e.jpg", 1000268201),
        ("1000268201.jpg", 1000268201),
        ("1000268201", 1000268201),
        ("12_1.jpg", None),  # one of many frames, maybe
        ("dog_42.jpg", None),
        ("a.jpg", None),
    ],
)
def test_the_id_of_a_photograph_is_in_its_name(name, number):
    assert photograph_id(name) == number


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_photograph_is_found_at_its_place_else_by_name_else_by_id(tmp_path):
    names = "val2014/000000000007.jpg", "train2014/COCO_train2014_000000000007.jpg", "b/a.jpg"
    touch(tmp_path, *names, "c/a.jpg", "b/8.txt", "c/8.jpg", "b/odd")
    folders = ("absent", "b", "c", "train2014", "val2014", "b/a.jpg")
    photographs = Photographs(tmp_path / folder for folder in folders)
    for place, found in {
        "val2014/000000000007.jpg": names[0],
        "images/000000000007.jpg": names[0],
        "images/COCO_val2014_000000000007.jpg": names[1],
        "c/a.jpg": "c/a.jpg",
        "d/a.jpg": "b/a.jpg",  # the first folder counts
        "d/000000000008.jpg": "c/8.jpg",
        "d/odd": "b/odd",
    }.items():
        assert photographs.find(tmp_path / place) == tmp_path / found
    assert photographs.find(tmp_path / "d/9.jpg") is None
    assert photographs.find(tmp_path / "d/b.jpg") is None
    assert photographs.by_id(8) == tmp_path / "c/8.jpg"
    assert photographs.by_id(9) is None


def test_each_folder_is_read_once(tmp_path, monkeypatch):
    touch(tmp_path, *(f"a/{number}.jpg" for number in range(9)))
    read, scandir = [], os.scandir

    def counted(folder):
        read.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counted)
    photographs = Photographs([tmp_path / "a", tmp_path / "b"])
    assert not read
    assert all(photographs.find(tmp_path / f"a/{number}.jpg") for number in range(9))
    assert read == [tmp_path / "a"]
    assert not photographs.find(tmp_path / "a/9.jpg") and not photographs.find(tmp_path / "b/x.jpg")
    assert read == [tmp_path / "a", tmp_path / "b"]


def test_what_is_not_there_is_told_with_its_ids_before_anything_is_computed(caplog):
    images = [CaptionedImage(number, Path("a.jpg"), (), number > 2) for number in range(1, 31)]
    assert [image.image_id for image in only_found(images, "coco val", Path())] == [*range(3, 31)]
    assert "coco val: 28 of 30 photographs found; missing: 1, 2" in caplog.text
    many = [CaptionedImage(number, Path("a.jpg"), (), number < 1) for number in range(1, 31)]
    with pytest.raises(FileNotFoundError, match=r"0 of 30 .*found in coco.* 1, 2, .*, 20, …"):
        only_found(many, "coco val", Path("coco"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_real_photographs_and_outlines_are_found_in_any_layout(real_data, tmp_path, layout, caplog):
    expected, paths = DataPaths(real_data), DataPaths(lay_out(real_data, tmp_path, layout))
    read = []
    for one in (expected, paths):
        images, names = read_instances(one)
        things = {image.image_id: (image.size, len(image.instances)) for image in images}
        listed = read_captions(one, ("val", "test"))
        files = [(image.image_id, image.found, image.path.resolve().name) for image in listed]
        files += [(image.image_id, image.found, image.path.resolve().name) for image in images]
        read.append((names, things, files, read_coco_ids(one)))
    assert read[0] == read[1]
    assert len(read[0][1]) == 94  # of 120: the others show none of the categories
    assert not caplog.text


def test_which_images_are_in_val2014_is_asked_of_karpathys_splits(toy_root, tmp_path):
    paths = DataPaths(lay_out(toy_root / "toy", tmp_path, "2017 flat"))
    assert len(read_instances(paths)[0]) == len(read_coco_ids(paths)) == 24  # and 24 of train
    paths.split_file.unlink()
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        read_instances(paths)
    with pytest.raises(FileNotFoundError, match=r"captions_val2014\.json"):
        read_coco_ids(paths)
    paths.instances_of_2017[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"instances_val2017\.json"):
        read_instances(paths)
    paths.instances_of_2017[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"instances_val2014\.json"):
        read_instances(paths)
