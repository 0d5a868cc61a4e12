import torch

from misc.data.regions import RegionImage
from misc.evaluation.pointing import score_regions, unusual_regions


def test_a_hit_in_any_box_of_a_category_counts():
    image = RegionImage(
        1, None, (100, 100), (7, 9), ("a cat", "a dog"),
        boxes=torch.tensor([[0.0, 0, 30, 30], [40, 40, 30, 30], [70, 70, 20, 20]]),
        phrase_of_box=torch.tensor([0, 0, 1]),
    )  # fmt: skip
    heat = torch.zeros(2, 10, 10)
    heat[0, 5, 5] = heat[1, 5, 5] = 1  # its centre is at (55, 55)
    assert score_regions(image, heat, 0.1).tolist() == [[True] * 4, [False] * 4]


def test_each_way_to_point_has_its_own_column():
    image = RegionImage(
        1, None, (100, 100), (1, 2, 3, 4), ("a",) * 4,
        boxes=torch.tensor([[91.0, 1, 5, 5], [89, -1, 3, 3], [20, 60, 20, 20], [45, 45, 10, 10]]),
        phrase_of_box=torch.arange(4),
    )  # fmt: skip
    heat = torch.zeros(4, 10, 10)
    heat[:, 0, 9] = 1.5  # its centre is at (95, 5), its corner at (90, 0)
    heat[:, 6:9, 2:5] = 1
    assert score_regions(image, heat, 0.1).int().tolist() == torch.eye(4).int().tolist()


def test_an_empty_box_is_told_under_the_id_of_its_own_phrase():
    image = RegionImage(
        1, None, (100, 100), (7, 9), ("a cat", "a dog"),
        boxes=torch.tensor([[0.0, 0, 0, 30], [40, 40, 30, 30]]), phrase_of_box=torch.tensor([1, 0]),
    )  # fmt: skip
    assert unusual_regions([image])["empty_boxes"] == [9]
