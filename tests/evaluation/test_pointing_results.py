import collections
import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from misc.data.entities import read_entities
from misc.data.paths import DataPaths
from misc.data.region_images import Questions, RegionImage
from misc.evaluation.pointing import Game, Scores, score_regions
from misc.evaluation.pointing_results import format_results, summarize, unusual_regions

IMAGE = RegionImage(
    1, None, (100, 100), (7, 9), ("a cat", "a dog"),
    boxes=torch.tensor([[0.0, 0, 0, 30], [40, 40, 30, 30]]), phrase_of_box=torch.tensor([1, 0]),
    types=(("animals", "people"), ("animals",)),
)  # fmt: skip
NOTHING = torch.empty(0, 8), torch.empty(0, dtype=torch.long)  # embeddings and places


def test_an_empty_box_is_told_under_the_id_of_its_own_phrase():
    assert unusual_regions([IMAGE])["empty_boxes"] == [9]


def test_hits_are_counted_for_each_type_of_a_phrase():
    hits = torch.tensor([[True, False, True, True, True, False], [False] * 6])
    game = Game(Scores(hits, torch.zeros(2, 2, 2)), torch.arange(2), [], *NOTHING)
    questions = Questions([IMAGE], {"not_visual": 3})
    results = summarize(game, questions)
    assert results["regions"] == results["regions@animals"] == 2
    assert (results["pointing_game"], results["pointing_game@animals"]) == (50, 50)
    assert (results["pointing_game@people"], results["regions@people"]) == (100, 1)
    assert results["regions@vehicles"] == 0
    assert "pointing_game/largest_box" not in results  # no phrase has several
    more = dataclasses.replace(
        IMAGE, boxes=IMAGE.boxes[[0, 1, 1]], phrase_of_box=torch.tensor([1, 0, 1]), types=()
    )
    results = summarize(game, Questions([more]))
    assert (results["pointing_game@one_box"], results["regions@one_box"]) == (100, 1)
    assert results["centre_baseline/largest_box"] == 0
    assert "pointing_game@people" not in results
    printed = format_results("title", results)
    assert "peak, in the largest box            50.0            50.0" in printed


def test_phrases_are_counted_under_their_own_numbers():
    images = [dataclasses.replace(IMAGE, image_id=number, types=()) for number in (1, 2)]
    hits = torch.tensor([[True] * 6, [False] * 6])
    game = Game(Scores(hits, torch.zeros(2, 2, 2)), torch.tensor([2, 3]), [0], *NOTHING)
    results = summarize(game, Questions(images), by_category=True)
    assert results["pointing_game@categories"] == 50
    assert results["pointing_game@5%"] == 100  # the other box is empty
    assert (results["missing_images"], results["unreadable_images"]) == ([1, 2], [1])


def twin_of_the_centre(folder):
    """Hits of the centre among phrases with one box: in percent, and how many phrases."""
    hits = []
    for name in (folder / "val.txt").read_text().split():
        root = ET.parse(folder / "Annotations" / f"{name}.xml").getroot()
        x, y = (int(root.findtext(f"size/{side}", "")) / 2 for side in ("width", "height"))
        boxes: dict[str | None, list[list[int]]] = collections.defaultdict(list)
        for thing in root.findall("object"):
            for entity in thing.findall("name"):
                boxes[entity.text] += [
                    [int(side.text or "") for side in box] for box in thing.iter("bndbox")
                ]
        text = (folder / "Sentences" / f"{name}.txt").read_text()
        for entity_id in re.findall(r"EN#(\d+)", text):
            if len(boxes[entity_id]) == 1:
                ((left, top, right, bottom),) = boxes[entity_id]
                hits.append(left - 1 < x < right and top - 1 < y < bottom)
    return 100 * sum(hits) / len(hits), len(hits)


def test_the_centre_baseline_on_real_phrases_with_one_box_is_that_of_a_twin(real_data):
    root = real_data / "flickr8k_full"
    questions = read_entities(DataPaths(root, "flickr30k"), "val")
    flat = [torch.zeros(len(one.phrases), 1, 1) for one in questions.images]
    scored = [
        score_regions(one, heat, heat, 0.1)
        for one, heat in zip(questions.images, flat, strict=True)
    ]
    hits = torch.cat([scores.hits for scores in scored])
    game = Game(Scores(hits, torch.empty(len(hits), 2, 2)), torch.arange(len(hits)), [], *NOTHING)
    results = summarize(game, questions)
    share, count = twin_of_the_centre(root / "flickr30k_entities")
    assert count == results["regions@one_box"] == 10_671
    assert results["centre_baseline@one_box"] == pytest.approx(share)
    assert results["pointing_game@one_box"] == pytest.approx(share)  # of a single cell
    assert share == pytest.approx(53.5, abs=0.1)
    assert results["regions"] == 13_123
    assert results["not_visual"] == 877
    assert len(questions.images) == 1000
    assert results["missing_images"] == []
