import logging
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from misc.data.decoding import load_image
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


@pytest.mark.parametrize("recursive", [False, True])
def test_a_lost_link_to_a_folder_is_listed_one_to_notes_is_passed_over(photos, recursive, caplog):
    caplog.set_level(logging.INFO)
    (photos / "album").symlink_to(photos / "absent")
    (photos / "lost.txt").symlink_to(photos / "absent.txt")
    (photos / "linked").symlink_to(photos / "plain")
    assert photos / "album" in find_images([photos], recursive)
    assert "2 .txt" in caplog.text
    assert "2 without suffix" in caplog.text


def test_a_folder_that_may_not_be_opened_is_listed_so_that_it_is_named(photos, monkeypatch):
    def refuse(folder):
        if folder == str(photos / "inner"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)
    found = find_images([photos], True)
    assert names(found, photos) == ["a.tiff", "b.JPG", "c.jfif", "inner"]
    with pytest.raises(ValueError, match="cannot read image .*inner: "):
        load_image(found[-1])


def test_a_single_file_is_an_image_by_its_content_too(photos):
    assert find_images([photos / "plain", photos / "d.jpg.1"], False) == [
        photos / "plain",
        photos / "d.jpg.1",
    ]
    (photos / "noise").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="noise is neither a folder, nor an image .*, nor a list"):
        find_images([photos / "noise"], False)


def test_a_list_may_come_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("a.jpg\nb\n"))
    writer.start()
    assert find_images([tmp_path / "pipe"], False) == [Path("a.jpg"), Path("b")]
    writer.join()


def test_a_list_may_name_any_file(photos, tmp_path):
    (tmp_path / "list.txt").write_text(f"\ufeff{photos / 'd.jpg.1'}\r\n\n{photos / 'plain'}\n")
    assert find_images([tmp_path / "list.txt"], False) == [photos / "d.jpg.1", photos / "plain"]


def test_a_list_may_name_files_whose_names_are_not_in_utf_8(photos, tmp_path):
    name = os.fsencode(photos / "a") + b"\xe9.jpg"
    (tmp_path / "list.txt").write_bytes(name + b"\nb.jpg\n")
    assert find_images([tmp_path / "list.txt"], False) == [Path(os.fsdecode(name)), Path("b.jpg")]
