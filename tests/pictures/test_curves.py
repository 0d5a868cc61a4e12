import json

import numpy as np
import pytest

from misc.pictures.__main__ import get_parser, main
from misc.pictures.curves import BLUE, draw_curves, read_log

RECALLS = {f"{way}/R@{count}": 10.0 for way in ("i2t", "t2i") for count in (1, 5, 10)}


def records(epochs):
    return [
        {"epoch": epoch, "loss": 2 / (1 + epoch), "learning_rate": 1e-3, **RECALLS}
        for epoch in range(epochs)
    ]


def write_log(folder, epochs):
    folder.mkdir()
    lines = [json.dumps(record) for record in records(epochs)]
    (folder / "log.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return folder


def draw(*arguments):
    return main(get_parser().parse_args(["curves", *map(str, arguments)]))


def blue_rows(picture):
    """Rows of the picture's first panel, the loss, with its colour, from left to right."""
    pixels = np.asarray(picture)[: picture.height // 2, : picture.width // 2].astype(int)
    color = [int(BLUE[start : start + 2], 16) for start in (1, 3, 5)]
    rows, columns = np.nonzero((abs(pixels - color) < 8).all(axis=2))
    return rows[np.argsort(columns, kind="stable")]


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_a_run_becomes_a_picture_in_its_folder(tmp_path, epochs):
    from PIL import Image

    run = write_log(tmp_path / "run", epochs)
    assert draw(run) == {"file": str(run / "curves.png")}
    with Image.open(run / "curves.png") as picture:
        assert picture.size == (1200, 720)
        assert len(blue_rows(picture)) > 20
    draw(run, "-o", tmp_path / "other" / "name.png")
    assert (tmp_path / "other" / "name.png").is_file()


def test_a_falling_loss_falls_in_the_picture_and_a_rising_one_rises():
    falling, rising = records(4), records(4)
    for record, value in zip(rising, (0.5, 1, 1.5, 2), strict=True):
        record["loss"] = value
    for log, sign in ((falling, 1), (rising, -1)):
        rows = blue_rows(draw_curves(log, "run"))
        assert sign * (rows[-20:].mean() - rows[:20].mean()) > 100


def test_every_recall_changes_the_picture():
    before = np.asarray(draw_curves(records(3), "run"))
    for key in RECALLS:
        log = records(3)
        log[1][key] = 60.0
        assert (np.asarray(draw_curves(log, "run")) != before).any(), key


def test_what_is_wrong_with_a_log_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*absent/log.jsonl: train.py writes it"):
        draw(tmp_path / "absent")
    file = write_log(tmp_path / "run", 2) / "log.jsonl"
    good = file.read_text(encoding="utf-8")
    assert [record["epoch"] for record in read_log(tmp_path / "run")] == [0, 1]
    for content, message in (
        ("", "log.jsonl is empty: no epoch of the run has ended"),
        (good[:-9], "log.jsonl, line 2 is not valid JSON"),
        (good + "[1]\n", r"line 3 is not the record of an epoch: \[1\]"),
        (good + '{"epoch": 2, "loss": 1}\n', "line 3 is not the record of an epoch"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            draw(tmp_path / "run")
    assert not (tmp_path / "run" / "curves.png").exists()
