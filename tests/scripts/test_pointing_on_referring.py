import math
import pickle

import numpy as np
import pytest

import pointing_game
from misc.checkpoints.checkpoint import load_model
from misc.data.paths import data_paths, find_word_vectors
from tests.data.referring_files import REFS, SIDES, THINGS, ref, write_instances, write_refs
from tests.scripts.localization import SIZE, run, twin_heat_map
from tests.scripts.miniature import noise

ODD = [ref(8, 70, "val", " "), ref(9, 99, "val", "x"), ref(11, 73, "val", "a lake")]


@pytest.fixture(scope="module")
def root(tmp_path_factory, toy_root):
    """Photographs 5 and 6 of COCO, in either release; 7 is missing."""
    root = tmp_path_factory.mktemp("root")
    for number, place in ((5, "images/train2014/COCO_train2014_"), (6, "train2017/")):
        file = root / "coco" / f"{place}{number:012d}.jpg"
        file.parent.mkdir(parents=True)
        noise(number, (56, 56)).save(file)
    (root / "word_vectors").symlink_to(toy_root / "toy/word_vectors")
    write_instances(root / "refcoco")
    write_instances(root / "refcocog")
    write_refs(root / "refcoco/refs(unc).p", REFS + ODD, "python 2")
    write_refs(root / "refcocog/refs(umd).json", REFS + ODD)
    return root


def play(checkpoint, root, *options):
    return run(pointing_game, checkpoint, root, "-bs", "2", *options)


def twin(model, word_vectors, root):
    """Per sentence: whether the highest cell is in the box of its thing."""
    for one in REFS:
        image, box = THINGS[one["ann_id"]]
        left, top, width, height = box
        for sentence in one["sentences"] * (one["split"] == "val"):
            (file,) = root.glob(f"coco/**/*{image:012d}.jpg")
            heat = twin_heat_map(model, word_vectors, file, sentence["sent"])
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            x, y = (
                (place * 8 + 4) * side / SIZE
                for place, side in zip((column, row), SIDES, strict=True)
            )
            yield left < x < left + width and top < y < top + height


def test_the_game_on_refcoco_equals_a_twin_in_both_formats(checkpoint, root, toy_root, capsys):
    pickled = play(checkpoint, root, "--dataset", "refcoco")
    printed = capsys.readouterr().out
    word_vectors = find_word_vectors("", data_paths(toy_root, "toy"))
    hits = list(twin(load_model(checkpoint), word_vectors, root))
    assert pickled["pointing_game"] == pytest.approx(100 * np.mean(hits))
    assert 0 < sum(hits) < len(hits) == pickled["regions"] == 4
    # The centre (200, 150) is in the box of the hat alone: the others end, or begin, at x = 200.
    assert pickled["centre_baseline"] == pytest.approx(25)
    assert (pickled["missing_images"], pickled["missing_regions"]) == ([7], [110])
    assert pickled["annotations_left_out"] == 2
    assert "refcoco (refs(unc).p, val): 2 of 3 images" in printed
    assert pickled["protocol"].startswith("Pointing game on refcoco (refs(unc).p, val), images of")
    as_json = play(checkpoint, root, "--dataset", "refcocog", "--split", "val")
    assert as_json.pop("protocol").startswith("Pointing game on refcocog (refs(umd).json, val), ")
    del pickled["protocol"]
    assert as_json.keys() == pickled.keys()
    for key, value in as_json.items():
        assert value == pickled[key] or (math.isnan(value) and math.isnan(pickled[key])), key


def test_a_split_that_is_not_there_and_options_of_others_are_errors(checkpoint, root):
    with pytest.raises(ValueError, match="no split testB in .*, which has train, val, testA"):
        play(checkpoint, root, "--dataset", "refcoco", "--split", "testB")
    with pytest.raises(ValueError, match=r"no split testA: Flickr30k Entities has train, val"):
        play(checkpoint, root, "--dataset", "flickr30k_entities", "--split", "testA")
    with pytest.raises(ValueError, match=r"-rv and --all-images are not for --dataset refcoco"):
        play(checkpoint, root, "--dataset", "refcoco", "-rv")
    with pytest.raises(FileNotFoundError, match=r"refcoco\+/instances\.json"):
        play(checkpoint, root, "--dataset", "refcoco+")


def test_a_pickle_that_would_run_something_ends_in_one_line(checkpoint, root, tmp_path):
    write_instances(tmp_path / "refcoco")
    (tmp_path / "word_vectors").symlink_to(root / "word_vectors")
    made = tmp_path / "made"
    command = b"cos\nsystem\n(Vtouch " + str(made).encode() + b"\ntR."
    (tmp_path / "refcoco/refs(unc).p").write_bytes(command)
    with pytest.raises(ValueError, match="is refused: it asks for 'os.system'") as caught:
        play(checkpoint, tmp_path, "--dataset", "refcoco")
    assert "\n" not in str(caught.value)
    assert not made.exists()
    pickle.loads(command)  # which, elsewhere, would have
    assert made.exists()
