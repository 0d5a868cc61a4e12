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
    assert score_regions(image, heat).tolist() == [[True, True, True], [False, False, False]]


def test_an_empty_box_is_told_under_the_id_of_its_own_phrase():
    image = RegionImage(
        1, None, (100, 100), (7, 9), ("a cat", "a dog"),
        boxes=torch.tensor([[0.0, 0, 0, 30], [40, 40, 30, 30]]), phrase_of_box=torch.tensor([1, 0]),
    )  # fmt: skip
    assert unusual_regions([image])["empty_boxes"] == [9]
