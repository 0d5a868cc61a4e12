import logging

import pytest
from PIL import Image

from misc.data.image_files import find_images


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.JPG", "a.tiff", "c.jfif", "notes.txt", "d.jpg.1", "plain", "inner/e.gif"):
        Image.new("RGB", (2, 2)).save(folder / name, "PNG")
    return folder


def names(files, folder):
    return [str(file.relative_to(folder)) for file in files]


def test_folders_give_every_format_and_tell_what_they_pass_over(photos, caplog):
    caplog.set_level(logging.INFO)
    assert names(find_images([photos], False), photos) == ["a.tiff", "b.JPG", "c.jfif"]
    (told,) = caplog.messages
    assert told.startswith(f"passed over in {photos}, as no images: ")
    assert set(told.split(": ")[1].split(", ")) == {"1 .txt", "1 .1", "1 without suffix"}
    assert names(find_images([photos], True), photos)[-1] == "inner/e.gif"


def test_linked_folders_are_followed_each_once_and_loops_end(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (2, 2)).save(other / "f.png")
    (photos / "linked").symlink_to(other)
    (other / "back").symlink_to(photos)
    (photos / "inner" / "loop").symlink_to(photos)
    found = names(find_images([photos], True), photos)
    assert found == ["a.tiff", "b.JPG", "c.jfif", "inner/e.gif", "linked/f.png"]


@pytest.mark.parametrize("recursive", [False, True])
def test_a_link_that_leads_nowhere_is_listed_so_that_it_is_named(photos, recursive):
    (photos / "gone.jpg").symlink_to(photos / "absent.jpg")
    assert photos / "gone.jpg" in find_images([photos], recursive)


def test_a_list_may_name_any_file(photos, tmp_path):
    (tmp_path / "list.txt").write_text(f"\ufeff{photos / 'd.jpg.1'}\r\n\n{photos / 'plain'}\n")
    assert find_images([tmp_path / "list.txt"], False) == [photos / "d.jpg.1", photos / "plain"]
