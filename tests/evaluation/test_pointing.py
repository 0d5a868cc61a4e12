import torch

from misc.data.region_images import RegionImage
from misc.evaluation.pointing import POINTS, largest_boxes, score_regions


def image_of(boxes, phrase_of_box):
    boxes, phrase_of_box = torch.tensor(boxes), torch.tensor(phrase_of_box)
    return RegionImage(1, None, (100, 100), (7, 9), ("a cat", "a dog"), boxes, phrase_of_box)


def test_a_hit_in_any_box_of_a_phrase_counts_and_stricter_is_the_largest():
    boxes = [[0.0, 0, 30, 30], [48, 48, 12, 12], [40, 40, 20, 20], [70, 70, 20, 20]]
    image = image_of(boxes, [0, 0, 1, 1])
    heat = torch.zeros(2, 10, 10)
    heat[0, 5, 5] = heat[1, 4, 4] = 1  # their centres are at (55, 55) and (45, 45)
    scores = score_regions(image, heat, heat, 0.1)
    hits = dict(zip(POINTS, scores.hits.T.tolist(), strict=True))
    assert hits == {
        "pointing_game": [True, True],
        "pointing_game/published": [True, False],  # (50, 50); (40, 40) is on the edge
        "pointing_game/smoothed": [True, True],
        "pointing_game/largest_box": [False, True],
        "centre_baseline": [True, True],
        "centre_baseline/largest_box": [False, True],
    }
    assert scores.peaks[:, 0].tolist() == [[55, 55], [45, 45]]


def test_of_equally_large_boxes_the_first_is_the_largest():
    boxes = [[0.0, 0, 2, 6], [9, 9, 3, 4], [5, 5, 1, 1], [1, 1, 4, 3]]
    assert largest_boxes(image_of(boxes, [1, 1, 0, 1])).tolist() == [True, False, True, False]
    assert largest_boxes(image_of(boxes[:2], [1, 0])).tolist() == [True, True]


def test_each_way_to_point_has_its_own_column():
    boxes = [[91.0, 1, 5, 5], [89, -1, 3, 3], [20, 60, 20, 20], [45, 45, 10, 10]]
    image = RegionImage(
        1, None, (100, 100), (1, 2, 3, 4), ("a",) * 4, torch.tensor(boxes), torch.arange(4)
    )
    heat = torch.zeros(4, 10, 10)
    heat[:, 0, 9] = 1.5  # its centre is at (95, 5), its corner at (90, 0)
    heat[:, 6:9, 2:5] = 1
    scores = score_regions(image, heat, heat, 0.1)
    ways = [POINTS.index(f"pointing_game{way}") for way in ("", "/published", "/smoothed")]
    chosen = scores.hits[:, [*ways, POINTS.index("centre_baseline")]]
    assert chosen.int().tolist() == torch.eye(4).int().tolist()
    assert scores.peaks[0].tolist() == [[95, 5], [35, 75]]
