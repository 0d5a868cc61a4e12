import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from misc.toy import dataset as toy
from misc.toy.grammar import (
    kinds,
)
from tests.toy.scenes import COUNTS, read

FEW = toy.SceneCounts(train=3, val=1, test=2)


@pytest.fixture
def no_vectors(monkeypatch):
    monkeypatch.setattr(toy, "write_glove", lambda folder: folder.mkdir())


def annotation_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.json")}


def test_the_same_seed_gives_the_same_files_to_the_byte(folder, tmp_path, no_vectors):
    again = toy.ensure_toy(tmp_path, seed=3, counts=COUNTS)
    assert annotation_bytes(again) == annotation_bytes(folder)
    assert len(annotation_bytes(folder)) == 6
    pictures = sorted(folder.rglob("*.jpg"))
    assert len(pictures) == 24 + 8 + 2 * 160
    for path in pictures[::20]:
        copy = again / path.relative_to(folder)
        assert np.array_equal(np.asarray(Image.open(copy)), np.asarray(Image.open(path)))


def test_another_seed_gives_other_scenes(folder, tmp_path, no_vectors):
    other = toy.ensure_toy(tmp_path, seed=4, counts=FEW)
    first = read(other, "coco/dataset.json")["images"][0]["sentences"]
    assert first != read(folder, "coco/dataset.json")["images"][0]["sentences"]


def test_a_scene_does_not_depend_on_how_many_others_there_are(folder, tmp_path, no_vectors):
    def texts(folder):
        images = read(folder, "coco/dataset.json")["images"]
        return {
            split: [
                [s["raw"] for s in image["sentences"]]
                for image in images
                if image["split"] == split
            ]
            for split in ("train", "val", "test")
        }

    few, many = texts(toy.ensure_toy(tmp_path, seed=3, counts=FEW)), texts(folder)
    assert [len(few[split]) for split in few] == [3, 1, 2]
    assert all(few[split] == many[split][: len(few[split])] for split in few)


def test_every_word_has_a_vector_and_unknown_words_have_the_mean(folder):
    words = (folder / "word_vectors/dictionary.txt").read_text().split("\n")[:-1]
    table = np.load(folder / "word_vectors/utable.npy", mmap_mode="r", allow_pickle=False)
    assert table.shape == (len(words), 50)
    assert table.dtype == np.float32
    assert words[-1] == "UNK"
    assert len(set(words)) == len(words) == 400_001
    np.testing.assert_allclose(table[-1], table[:-1].mean(0, dtype=np.float64), atol=1e-6)
    dog, puppy, plane = (table[words.index(word)] for word in ("dog", "puppy", "airplane"))
    assert np.linalg.norm(dog - puppy) < np.linalg.norm(dog - plane)

    images = read(folder, "coco/dataset.json")["images"]
    used = {w for image in images for s in image["sentences"] for w in s["tokens"]}
    used |= {word for kind in kinds() for noun in kind.nouns for word in noun.split()}
    assert used <= set(words)


def test_a_whole_set_is_used_as_it_is(tmp_path, no_vectors):
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    built = (folder / "toy.json").stat()
    assert toy.ensure_toy(tmp_path, seed=5, counts=FEW) == folder == tmp_path / "toy"
    assert toy.ensure_toy(tmp_path) == folder  # any seed and size will do
    assert (folder / "toy.json").stat() == built


def test_a_set_of_another_seed_size_or_version_is_replaced(tmp_path, no_vectors, monkeypatch):
    for seed, counts in ((5, FEW), (6, FEW), (6, toy.SceneCounts(1, 1, 1))):
        marker = read(toy.ensure_toy(tmp_path, seed, counts), "toy.json")
        assert marker["seed"] == seed
        assert marker["scenes"]["train"] == counts.train
    assert len(list(tmp_path.glob("toy/coco/images/*/*.jpg"))) == 3
    monkeypatch.setattr(toy, "VERSION", toy.VERSION + 1)
    assert read(toy.ensure_toy(tmp_path, 6, counts), "toy.json")["version"] == toy.VERSION


@pytest.mark.parametrize("marker", [None, "", "{}", "[1]", '{"seed": 5, "scenes": {"tra'])
def test_a_folder_without_its_marker_is_built_anew(tmp_path, no_vectors, marker):
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    whole = annotation_bytes(folder)
    (folder / "coco/dataset.json").write_text("cut of")
    (folder / "toy.json").unlink()
    if marker is not None:
        (folder / "toy.json").write_text(marker)
    toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    assert annotation_bytes(folder) == whole


def start(*arguments):
    command = [sys.executable, "-m", "misc.toy", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_leaves_no_set_and_does_not_disturb_the_next(tmp_path, no_vectors):
    process = start("--root", tmp_path, "--train", 1_000_000)
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob("*/coco/images/train2014/*.jpg")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "toy").exists()
    assert (tmp_path / ".toy.partial").exists()
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    assert len(list((folder / "coco/images/train2014").iterdir())) == FEW.train
    assert not (tmp_path / ".toy.partial").exists()


def test_two_processes_that_build_at_once_end_with_one_whole_set(tmp_path):
    arguments = ("--root", tmp_path, "--train", 3, "--val", 1, "--test", 2)
    both = [start(*arguments) for _ in range(2)]
    for process in both:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output.strip()) == (0, str(tmp_path / "toy")), errors
    assert {path.name for path in tmp_path.iterdir()} == {"toy", ".toy.lock"}
    assert len(list(tmp_path.glob("toy/coco/images/*/*.jpg"))) == 6


def test_a_wrong_root_or_seed_gives_one_clear_line(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for arguments, message in (
        (("--root", file), "is a file"),
        (("--root", tmp_path, "--seed", -1), "must not be negative"),
    ):
        process = start(*arguments)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert message in errors.splitlines()[-1]
        assert "Traceback" not in errors
