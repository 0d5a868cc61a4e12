import pytest

from misc.data.captions import read_captions
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure
from tests.data.flickr_formats import (
    KAGGLE_BROKEN,
    write_kaggle_8k,
    write_kaggle_30k,
    write_karpathy,
    write_lists,
    write_tokens,
)

IMAGES = {
    "11_693b08cb0e.jpg": ("val", ["A dog , brown .", 'The sign "STOP" .']),
    "12_577c3a7d70.jpg": ("train", ["A cat ."]),
    "13_0123456789.jpg": ("val", ["Two cows ."]),
    "14_0123456789.jpg": ("test", ["A bird ."]),
    "15_0123456789.jpg": ("none", ["In no list ."]),
}
WRITERS = {
    "Flickr8k.token.txt": write_tokens,
    "results_20130124.token": write_tokens,
    "captions.txt": write_kaggle_8k,
    "results.csv": write_kaggle_30k,
}
EVERYTHING = ("train", "val", "test")


def folder_of(root, dataset="flickr8k"):
    folder = root / dataset
    folder.mkdir()
    return folder


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("inner", ["", "Flickr8k_text"])
def test_each_format_of_captions_gives_what_karpathys_does(tmp_path, file, inner, caplog):
    folder = folder_of(tmp_path)
    touch(folder / "images", *IMAGES)
    write_karpathy(folder, IMAGES)
    expected = {splits: read_captions(DataPaths(tmp_path, "flickr8k"), splits) for splits in
                (("train", "restval"), ("val",), ("test",))}  # fmt: skip
    (folder / "dataset.json").unlink()
    (folder / inner).mkdir(exist_ok=True)
    write_lists(folder / inner, IMAGES)
    WRITERS[file](folder / inner / file, IMAGES)
    for splits, images in expected.items():
        assert read_captions(DataPaths(tmp_path, "flickr8k"), splits) == images
    assert expected["val",][0].captions == ("A dog , brown .", 'The sign "STOP" .')
    assert [image.image_id for image in expected["val",]] == [11, 13]
    assert not caplog.text


@pytest.mark.parametrize(
    "place",
    ["images", "Images", "Flicker8k_Dataset", "flickr30k-images", "flickr30k_images",
     "flickr30k_images/flickr30k_images", ""],
)  # fmt: skip
def test_photographs_are_found_in_the_folders_that_archives_make(tmp_path, place):
    folder = folder_of(tmp_path)
    touch(folder / place, *list(IMAGES)[:2], "13.jpg")
    write_karpathy(folder, IMAGES)
    images = read_captions(DataPaths(tmp_path, "flickr8k"), EVERYTHING)
    found = {image.image_id: image.path for image in images if image.found}
    names = {11: "11_693b08cb0e.jpg", 12: "12_577c3a7d70.jpg", 13: "13.jpg"}
    assert found == {number: folder / place / name for number, name in names.items()}


def test_photographs_may_be_in_a_folder_that_is_given(tmp_path):
    write_karpathy(folder_of(tmp_path), IMAGES)
    touch(tmp_path / "elsewhere/flickr30k-images", "11.jpg")
    paths = DataPaths(tmp_path, "flickr8k", own_images=str(tmp_path / "elsewhere"))
    first, second = read_captions(paths, ("val",))
    assert first.path == tmp_path / "elsewhere/flickr30k-images/11.jpg"
    assert (first.found, second.found) == (True, False)


def test_a_broken_row_is_named_in_the_split_of_its_image_and_in_no_other(tmp_path, caplog):
    folder = folder_of(tmp_path, "flickr30k")
    images = {"2199200615.jpg": ("train", ["A dog ."]), "7.jpg": ("val", ["A cat ."])}
    write_lists(folder, images, entities=True)
    write_kaggle_30k(folder / "results.csv", images)
    with (folder / "results.csv").open("a") as lines:
        lines.write(KAGGLE_BROKEN)
    left_out: list[Failure] = []
    paths = DataPaths(tmp_path, "flickr30k")
    (image,) = read_captions(paths, ("val",), left_out)
    assert (image.captions, left_out, caplog.text) == (("A cat .",), [], "")
    (image,) = read_captions(paths, ("train",), left_out)
    assert image.captions == ("A dog .",)
    assert len(left_out) == 1
    assert "results.csv, line 4: 2 fields, and there are 3 columns" in caplog.text


def test_what_is_wrong_with_captions_and_lists_is_named(tmp_path, caplog):
    folder = folder_of(tmp_path)
    rows = (
        "11_693b08cb0e.jpg#0\tA dog .\n11_693b08cb0e.jpg\t?\n11_693b08cb0e.jpg#2\t\ndog.jpg#0\tA\n"
    )
    (folder / "Flickr8k.token.txt").write_text(rows)
    listed = "11_693b08cb0e.jpg\n12_577c3a7d70.jpg\ncat.jpg\n11.jpg\n"
    (folder / "Flickr_8k.devImages.txt").write_text(listed)
    left_out: list[Failure] = []
    (image,) = read_captions(DataPaths(tmp_path, "flickr8k"), ("val",), left_out)
    assert (image.captions, image.found) == (("A dog .",), False)
    assert len(left_out) == 6
    for reason in (
        "Flickr8k.token.txt, line 2: it is not an image with # and a number",
        "Flickr8k.token.txt, line 3: the caption is empty",
        "Flickr8k.token.txt, line 4: there is no id in the name 'dog.jpg'",
        "Flickr_8k.devImages.txt, cat.jpg: there is no id in this name",
        "Flickr_8k.devImages.txt, 11.jpg: it is listed before",
        "flickr8k, image 12: Flickr8k.token.txt has no caption of it",
    ):
        assert caplog.text.count(reason) == 1, reason


@pytest.mark.parametrize(
    ("dataset", "file", "asked"),
    [
        ("flickr8k", "captions.txt", r"Flickr_8k\.testImages\.txt do, which are in Flickr8k_text"),
        ("flickr30k", "results.csv", r"test\.txt of Flickr30k Entities do, which are in github"),
    ],
)
def test_without_a_list_the_official_one_is_asked_for_and_nothing_is_drawn(
    tmp_path, dataset, file, asked
):
    folder = folder_of(tmp_path, dataset)
    WRITERS[file](folder / file, IMAGES)
    paths = DataPaths(tmp_path, dataset)
    entities = tmp_path / "flickr30k_entities"
    entities.mkdir()
    for split in EVERYTHING:
        with pytest.raises(FileNotFoundError, match=f"are in {split}. .*{asked}.*never drawn"):
            read_captions(paths, (split,))
    write_lists(entities, IMAGES, entities=True)
    if dataset == "flickr30k":
        assert [image.image_id for image in read_captions(paths, ("val",))] == [11, 13]
    else:  # Entities' lists are of the photographs of Flickr30k, and some of them are in both sets
        with pytest.raises(FileNotFoundError, match="testImages"):
            read_captions(paths, ("val",))


def test_no_captions_at_all_is_an_error_that_names_karpathys_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"flickr8k.dataset\.json"):
        read_captions(DataPaths(tmp_path, "flickr8k"), ("val",))
