import numpy as np
import pytest

import pointing_game
from misc.checkpoints.checkpoint import load_model
from misc.data.paths import data_paths, find_word_vectors
from misc.evaluation.pointing import POINTS
from misc.runtime.tables import read_table
from tests.scripts.localization import SIZE, run, twin_heat_map
from tests.scripts.miniature import noise

SIDES = 400, 300  # of the original photographs, in pixels; their files are smaller and square
HALVES = {
    1: [(1, 1, 200, 300)],
    2: [(201, 1, 400, 300)],
    3: [(1, 1, 400, 150), (150, 100, 300, 300)],
}
SENTENCE = (
    "[/EN#1/people A man] and [/EN#2/animals/other two dogs] beside [/EN#3/scene a lake] at "
    "[/EN#0/notvisual noon] .\n[/EN#3/scene The water] .\n"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory, toy_root):
    """Photographs 1 to 4, of which the third is missing and the fourth is broken."""
    root = tmp_path_factory.mktemp("root")
    folder, photographs = root / "flickr30k_entities", root / "photographs"
    for made in (folder / "Annotations", folder / "Sentences", photographs):
        made.mkdir(parents=True)
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = ""
    for entity, boxes in HALVES.items():
        for box in boxes:
            inside = "".join(f"<{k}>{v}</{k}>" for k, v in zip(sides, box, strict=True))
            objects += f"<object><name>{entity}</name><bndbox>{inside}</bndbox></object>"
    size = f"<size><width>{SIDES[0]}</width><height>{SIDES[1]}</height></size>"
    for number in (1, 2, 3, 4):
        xml = f"<annotation>{size}{objects}</annotation>"
        (folder / f"Annotations/{number}.xml").write_text(xml)
        (folder / f"Sentences/{number}.txt").write_text(SENTENCE)
        if number < 3:
            noise(number, (56, 56)).save(photographs / f"{number}_0123456789.jpg")
    (photographs / "4_0123456789.jpg").write_bytes(b"no image")
    (folder / "test.txt").write_text("1\n2\n3\n4\n5\n")
    (root / "word_vectors").symlink_to(toy_root / "toy/word_vectors")
    return root


def twin(model, word_vectors, folder):
    """Per photograph and phrase: hits of the peak in any box, in the largest, of the centre."""
    for number in (1, 2):
        for entity, phrase in ((1, "A man"), (2, "two dogs"), (3, "a lake"), (3, "The water")):
            heat = twin_heat_map(model, word_vectors, folder / f"{number}_0123456789.jpg", phrase)
            row, column = np.unravel_index(heat.argmax(), heat.shape)
            peak = [
                (place * 8 + 4) * side / SIZE
                for place, side in zip((column, row), SIDES, strict=True)
            ]
            inside = [
                [
                    left - 1 < x < right and top - 1 < y < low
                    for left, top, right, low in HALVES[entity]
                ]
                for x, y in (peak, (200, 150))
            ]
            yield any(inside[0]), inside[0][0], any(inside[1])


def test_the_game_on_entities_equals_a_twin(checkpoint, root, toy_root, tmp_path, capsys):
    options = "--dataset", "flickr30k_entities", "--split", "test", "-bs", "2"
    results = run(pointing_game, checkpoint, root, *options, "--images", root / "photographs")
    word_vectors = find_word_vectors("", data_paths(toy_root, "toy"))
    hits = np.array(list(twin(load_model(checkpoint), word_vectors, root / "photographs")))
    peak, largest, centre = hits.T
    assert 0 < largest.sum() <= peak.sum() < len(peak) == results["regions"] == 8
    assert results["pointing_game"] == pytest.approx(100 * peak.mean())
    assert results["pointing_game/largest_box"] == pytest.approx(100 * largest.mean())
    assert results["centre_baseline"] == pytest.approx(100 * centre.mean())
    places = {"people": [0, 4], "animals": [1, 5], "other": [1, 5], "scene": [2, 3, 6, 7]}
    for name, rows in places.items():
        assert results[f"pointing_game@{name}"] == pytest.approx(100 * peak[rows].mean())
        assert results[f"regions@{name}"] == len(rows)
    assert results["regions@one_box"] == 4
    assert results["not_visual"] == 4
    assert (results["missing_images"], results["unreadable_images"]) == ([3], [4])
    assert results["annotations_left_out"] == 1
    printed = capsys.readouterr().out
    assert "flickr30k_entities: 2 of 4 images" in printed
    assert "phrases left out, they name nothing that is seen: 4" in printed
    assert "people                                 2" in printed


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_means_of_the_saved_hits_are_the_figures(checkpoint, root, tmp_path, suffix):
    file, photographs = tmp_path / f"hits{suffix}", root / "photographs"
    options = "--dataset", "flickr30k_entities", "--split", "test", "--images", photographs
    results = run(pointing_game, checkpoint, root, *options, "--save-hits", file)
    rows = list(read_table(file)[1])
    assert len(rows) == results["regions"]
    for name in POINTS:
        assert results[name] == pytest.approx(
            np.mean([str(row[name]) == "True" for row in rows]) * 100
        )
    assert [row["phrase"] for row in rows[4:]] == ["A man", "two dogs", "a lake", "The water"]
    assert {int(row["image_id"]) for row in rows[4:]} == {2}
    for row in rows:
        assert (str(row["pointing_game"]) == "True") == (float(row["distance"]) == 0)


def test_options_of_entities_and_of_others_are_not_mixed(checkpoint, root):
    with pytest.raises(ValueError, match="--split and --images are for --dataset flickr30k"):
        run(pointing_game, checkpoint, root, "--dataset", "coco", "--split", "val")
    with pytest.raises(ValueError, match="-rv and --all-images are not for"):
        run(pointing_game, checkpoint, root, "--dataset", "flickr30k_entities", "-rv")


def test_real_photographs_are_scored(checkpoint, real_data, toy_root):
    words = toy_root / "toy/word_vectors"
    options = "--dataset", "flickr30k_entities", "--limit", "4", "--word-vectors", words
    results = run(pointing_game, checkpoint, real_data / "flickr8k_full", *options)
    assert results["images"] == 4
    assert results["regions"] > 20
    assert results["annotations_left_out"] == 0
