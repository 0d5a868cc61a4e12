import json
from pathlib import Path

import pytest
import torch

from misc.data.captioned_images import CaptionedImage
from misc.data.region_images import RegionImage
from misc.evaluation.pointing import POINTS, Game, Scores
from misc.evaluation.query_tables import HIT_COLUMNS, RANK_COLUMNS, hit_rows, rank_rows
from misc.evaluation.retrieval import rank_pairs


def test_ranks_by_hand():
    images = [
        CaptionedImage(10 * row, Path(f"{row}.jpg"), captions)
        for row, captions in enumerate([("a", "b"), (), ("c",), ("d",)])
    ]
    axes = torch.eye(4)
    captions = torch.stack([axes[0], 0.6 * axes[0] + 0.8 * axes[1], axes[3], axes[3]])
    rankings = rank_pairs(axes, captions, torch.tensor([0, 0, 2, 3]), folds=2)
    rows = list(rank_rows(rankings, images))
    assert all(list(row) == list(RANK_COLUMNS) for row in rows)
    names = "direction", "fold", "image_id", "caption", "text", "rank", "first"
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("i2t", 1, 0, None, "", 1, "a"),
        ("t2i", 1, 0, 1, "a", 1, "0.jpg"),
        ("t2i", 1, 0, 2, "b", 2, "1.jpg"),
        ("i2t", 2, 20, None, "", 2, "c"),
        ("i2t", 2, 30, None, "", 2, "c"),
        ("t2i", 2, 20, 1, "c", 2, "3.jpg"),
        ("t2i", 2, 30, 1, "d", 1, "3.jpg"),
    ]


def test_hits_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [30, 0, 4, 10], [0, 20, 60, 60]])
    images = [
        RegionImage(5, Path("5.jpg"), (60, 80), (50,), ("x",), boxes[:1], torch.tensor([0])),
        RegionImage(
            6, Path("6.jpg"), (60, 80), (61, 62), ("a", "b"), boxes, torch.tensor([0, 0, 1]),
            (("people", "scene"), ("other",)),
        ),
    ]  # fmt: skip
    hits = torch.eye(len(POINTS), dtype=torch.bool)[:2]
    peaks = torch.tensor([[[20.0, 5], [1, 2]], [[20, 50], [3, 4]]])
    nothing = torch.empty(0, 8), torch.empty(0)  # embeddings and places
    game = Game(Scores(hits, peaks), torch.tensor([1, 2]), [], *nothing)
    first, second = hit_rows(game, images)
    assert list(first) == list(HIT_COLUMNS)
    assert (first["image_id"], first["phrase_id"], first["phrase"]) == (6, 61, "a")
    assert (first["type"], second["type"], second["phrase"]) == ("people/scene", "other", "b")
    assert (first["x"], first["y"], first["smoothed_x"], first["smoothed_y"]) == (20, 5, 1, 2)
    assert first["distance"] == pytest.approx(0.1)  # 10 pixels to either box, of 100
    assert second["distance"] == 0
    assert json.loads(str(first["boxes"])) == boxes[:2].tolist()
    assert [first[name] for name in POINTS] == hits[0].tolist()
