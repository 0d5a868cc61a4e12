from pathlib import Path

import pytest

from misc.evaluation.query_tables import HIT_COLUMNS, RANK_COLUMNS
from misc.pictures.misses import read_misses
from misc.runtime.tables import write_table


def hit(number, distance, hits=False, **changed):
    row = {
        "image_id": number, "image": f"{number}.jpg", "width": 100, "height": 50,
        "phrase_id": number, "phrase": f"phrase {number}", "type": "", "x": 1.0, "y": 2.0,
        "smoothed_x": 3.0, "smoothed_y": 4.0, "distance": distance, "boxes": "[[1, 2, 3, 4]]",
    }  # fmt: skip
    return dict.fromkeys(HIT_COLUMNS, False) | row | {"pointing_game": hits} | changed


def rank(direction, number, place):
    row = {"direction": direction, "fold": 1, "image_id": number, "image": f"{number}.jpg"}
    return row | {"caption": 1, "text": f"text {number}", "rank": place, "first": f"first {number}"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_worst_are_read_in_order_and_hits_are_none(tmp_path, suffix):
    rows = [hit(1, 0.2), hit(2, 0.0, True), hit(3, 0.5), hit(4, 0.1), hit(5, 0.5)]
    write_table(tmp_path / f"hits{suffix}", HIT_COLUMNS, rows)
    (misses,) = read_misses(tmp_path / f"hits{suffix}", 3)
    assert [miss.text for miss in misses] == ["phrase 3", "phrase 5", "phrase 1"]
    assert misses[0].title == "50 %: phrase 3"
    assert misses[0].pointed == ((100, 50), [[1, 2], [3, 4]], [[1, 2, 3, 4]])
    assert misses[0].image == Path("3.jpg")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ranks_are_read_by_direction(tmp_path, suffix):
    rows = [rank("i2t", 1, 9), rank("i2t", 2, 1), rank("t2i", 3, 2), rank("t2i", 4, 8)]
    write_table(tmp_path / f"ranks{suffix}", RANK_COLUMNS, rows)
    captions, images = read_misses(tmp_path / f"ranks{suffix}", 50)
    assert [(miss.text, miss.title) for miss in captions] == [("first 1", "rank 9; first: first 1")]
    assert [miss.text for miss in images] == ["text 4", "text 3"]
    assert images[0].title == "rank 8: text 4"


def test_rows_that_cannot_be_read_are_named_and_tables_of_others_refused(tmp_path, caplog):
    rows = [hit(1, float("nan")), hit(2, 0.1, boxes="["), hit(3, 0.1)]
    write_table(tmp_path / "hits.csv", HIT_COLUMNS, rows)
    ((miss,),) = read_misses(tmp_path / "hits.csv", 9)
    assert miss.text == "phrase 3"
    assert "left out: hits.csv, row 0: it points nowhere" in caplog.text
    assert "left out: hits.csv, row 1: " in caplog.text
    write_table(tmp_path / "hits.csv", HIT_COLUMNS, [hit(1, 0.0, True)])
    with pytest.raises(ValueError, match=r"hits\.csv has no query that was answered wrongly"):
        read_misses(tmp_path / "hits.csv", 9)
    write_table(tmp_path / "other.csv", {"rank": int}, [])
    with pytest.raises(ValueError, match="is no table of --save-ranks or --save-hits; its columns"):
        read_misses(tmp_path / "other.csv", 9)
