import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from misc.evaluation.presence import percentiles, roc_area


def unit_rows(count, seed, dimension=16):
    rows = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1)


def test_percentiles_by_hand():
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    reference = torch.tensor([[0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    images = torch.tensor([[0.7, 0.7], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    expected = [[50, 50], [75, 0], [0, 0], [0, 75]]  # a tie with one of reference is not above it
    assert percentiles(images, texts, reference).tolist() == expected


def test_percentiles_equal_a_twin_pair_by_pair():
    images, texts, reference = unit_rows(5, 0), unit_rows(7, 1), unit_rows(30, 2)
    found = percentiles(images, texts, reference)
    assert found.shape == (5, 7)
    for (i, m), percent in np.ndenumerate(found.numpy()):
        fitting_less = [row for row in reference if row @ texts[m] < images[i] @ texts[m]]
        assert percent == pytest.approx(100 * len(fitting_less) / 30)


def test_a_direction_that_all_images_share_changes_no_percentile():
    images, texts, reference = unit_rows(50, 0), unit_rows(7, 1), unit_rows(30, 2)
    common = unit_rows(1, 3)
    moved = percentiles(images + common, texts, reference + common)
    torch.testing.assert_close(moved, percentiles(images, texts, reference))


def test_without_images_of_reference_nothing_is_known():
    found = percentiles(unit_rows(5, 0), unit_rows(7, 1), None)
    assert found.shape == (5, 7)
    assert found.isnan().all()


def test_the_area_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert roc_area(scores, torch.tensor([True, True, False, False])) == 1
    assert roc_area(scores, torch.tensor([True, False, True, False])) == 3 / 4
    assert roc_area(scores, torch.tensor([False, False, True, True])) == 0
    assert roc_area(torch.zeros(4), torch.tensor([True, False, False, False])) == 0.5
    assert math.isnan(roc_area(scores, torch.ones(4, dtype=torch.bool)))
    assert math.isnan(roc_area(scores, torch.zeros(4, dtype=torch.bool)))


def test_the_area_equals_a_twin_over_all_pairs_and_only_the_order_counts():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 20, (60,), generator=generator).float()  # with many ties
    present = torch.rand(60, generator=generator) < 0.3
    wins = [
        1 if one > other else 0.5 if one == other else 0
        for one in scores[present].tolist()
        for other in scores[~present].tolist()
    ]
    assert roc_area(scores, present) == pytest.approx(sum(wins) / len(wins))
    assert roc_area(scores**3 - 7, present) == roc_area(scores, present)
    assert roc_area(-scores, present) == pytest.approx(1 - roc_area(scores, present))
