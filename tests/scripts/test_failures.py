"""From a table of hits or ranks to the picture of its misses."""

import json

import numpy as np
import pytest
from PIL import Image

import eval_retrieval
import pointing_game
from misc.pictures.__main__ import get_parser, main
from tests.scripts.localization import run


def draw(checkpoint, toy_root, *options):
    words = ["-p", checkpoint, "--data-root", toy_root, "--device", "cpu", "--workers", 0]
    command = ["failures", *words, "--image-size", 48, "-k", 5, *options]
    return main(get_parser().parse_args(list(map(str, command))))


@pytest.fixture(scope="module")
def tables(checkpoint, toy_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    hits, ranks = folder / "hits.parquet", folder / "ranks.csv"
    run(pointing_game, checkpoint, toy_root, "--dataset", "toy", "--save-hits", hits)
    command = f"-p {checkpoint} --data-root {toy_root} --dataset toy -te --save-ranks {ranks}"
    arguments = [*command.split(), "--device", "cpu", "--workers", "0", "--image-size", "48"]
    eval_retrieval.main(eval_retrieval.get_parser().parse_args(arguments))
    return hits, ranks


def test_the_worst_phrases_are_shown_with_their_boxes(checkpoint, toy_root, tables, tmp_path):
    file = tmp_path / "out.json"
    results = draw(checkpoint, toy_root, tables[0], "--top", 6, "--json", file)
    assert results == {"file": str(tables[0].with_suffix(".png")), "images_left_out": 0}
    assert json.loads(file.read_text()) == results
    with Image.open(results["file"]) as six:
        wide, high = six.size
        assert wide == 4 * (224 + 8) + 8
    draw(checkpoint, toy_root, tables[0], "--top", 9, "-o", tmp_path / "nine.png")
    with Image.open(tmp_path / "nine.png") as nine:
        assert (nine.size[0], nine.size[1] > high + 224) == (wide, True)


def test_ranks_of_both_directions_are_shown(checkpoint, toy_root, tables, tmp_path):
    both = draw(checkpoint, toy_root, tables[1], "--top", 1, "-o", tmp_path / "both.png")
    with Image.open(both["file"]) as picture:
        assert 2 * 224 < picture.size[1] < 4 * 224
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 1000


def test_images_that_are_gone_are_counted_and_none_at_all_is_an_error(
    checkpoint, toy_root, tables, tmp_path, caplog
):
    lines = tables[1].read_text().splitlines(keepends=True)
    missed = [line for line in lines[1:17] if line.split(",")[6] != "1"][:2]
    moved = [line.replace(str(toy_root), "absent", 1) if line in missed else line for line in lines]
    (tmp_path / "ranks.csv").write_text("".join(moved))
    results = draw(checkpoint, toy_root, tmp_path / "ranks.csv")
    assert results["images_left_out"] == 2
    assert "left out: cannot read image absent" in caplog.text
    (tmp_path / "ranks.csv").write_text("".join(lines).replace(str(toy_root), "absent"))
    with pytest.raises(ValueError, match="no picture: not one image can be shown"):
        draw(checkpoint, toy_root, tmp_path / "ranks.csv")
