"""Folders of parts that somebody else, a kill or an older run has left something in."""

import json
import os
import shutil

import pytest

from misc.features import shards
from misc.features.reading import load_embeddings
from misc.features.shards import verify
from misc.runtime.files import FullDiskError
from tests.features.extraction import assert_same, extract


@pytest.mark.parametrize("name", ["part-00000.parquet", "plan.json", "manifest.json"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_others_have_called_as_we_do_is_neither_taken_nor_removed(
    model, photos, tmp_path, name, force
):
    (tmp_path / name).write_text(json.dumps({"menu": "pizza"}))
    with pytest.raises(ValueError, match=f"has {name}, but no plan.json of this command"):
        extract(model, photos, tmp_path, *force)
    assert (tmp_path / name).read_text() == json.dumps({"menu": "pizza"})
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_force_that_was_killed_can_be_forced_again(
    model, photos, undisturbed, tmp_path, monkeypatch
):
    folder, unlink, removed = tmp_path / "features", os.unlink, []
    shutil.copytree(undisturbed, folder)

    def kill_in_the_middle(path, *options, **more):
        removed.append(path)
        if len(removed) == 3:
            raise KeyboardInterrupt
        unlink(path, *options, **more)

    monkeypatch.setattr(os, "unlink", kill_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        extract(model, photos, folder, "--force")
    monkeypatch.undo()
    extract(model, photos, folder, "--force")
    assert_same(folder, undisturbed)


def test_a_folder_is_not_whole_while_a_changed_photograph_waits(
    model, photos, tmp_path, monkeypatch
):
    images, folder = tmp_path / "photos", tmp_path / "features"
    shutil.copytree(photos, images)
    extract(model, images, folder)
    os.utime(images / "30.png", ns=(1, 1))

    def kill(*options, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "writing", kill)
    with pytest.raises(KeyboardInterrupt):
        extract(model, images, folder)
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="has not ended; run it again"):
        verify(folder)
    with pytest.raises(ValueError, match="has not ended"):
        load_embeddings(folder)
    extract(model, images, folder)
    verify(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"parts": [{}]}', '{"parts": 3}', "\0"])
def test_a_manifest_that_is_broken_is_told_and_made_anew(
    model, photos, undisturbed, tmp_path, content
):
    shutil.copytree(undisturbed, tmp_path / "features")
    (tmp_path / "features" / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match="manifest.json lists no parts"):
        verify(tmp_path / "features")
    extract(model, photos, tmp_path / "features")
    manifest = (undisturbed / "manifest.json").read_text()
    assert json.loads((tmp_path / "features" / "manifest.json").read_text()) == json.loads(manifest)


def test_a_disk_that_is_too_small_is_told_before_any_image_is_embedded(
    model, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 1000))
    for output in ("one.npz", "folder"):  # 46 rows of 16 numbers of 4 bytes; and twice that
        with pytest.raises(FullDiskError, match=f"{output} needs 0 MB, and 0 MB are free"):
            extract(model, photos, tmp_path / output)
        assert not list(tmp_path.glob("**/part-*"))
