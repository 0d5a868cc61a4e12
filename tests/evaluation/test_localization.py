import math

import cv2
import numpy as np
import pytest
import torch

from misc.evaluation.localization import (
    average_precision,
    both_peaks,
    heat_maps,
    intersection_over_union,
    large_boxes,
    mask_boxes,
    masks,
    peaks,
    points_in_boxes,
    published_average_precision,
    resize_nearest,
    segmentation_metrics,
    smoothed,
)
from tests.evaluation.smoothing_twin import twin_smoothed


def random_maps(dimension=20, height=5, width=7, texts=6):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(dimension, height, width, generator=generator)
    return maps, torch.randn(texts, dimension, generator=generator)


def test_heat_maps_equal_a_twin_phrase_by_phrase_and_component_by_component():
    maps, texts = random_maps()
    for k in (1, 4, 20):
        for heat, text in zip(heat_maps(maps, texts, k), texts.tolist(), strict=True):
            chosen = sorted(range(20), key=lambda u: text[u], reverse=True)[:k]
            twin = sum(abs(text[u]) * maps[u] for u in chosen)
            torch.testing.assert_close(heat, twin, atol=1e-6, rtol=1e-6)


def test_the_largest_signed_components_count_by_their_absolute_value():
    maps = torch.eye(3)[:, None, :]  # (3, 1, 3): map u fires in column u
    text = torch.tensor([[-0.9, 0.1, -0.2]])
    assert heat_maps(maps, text, 1).flatten().tolist() == pytest.approx([0, 0.1, 0])
    assert heat_maps(maps, text, 2).flatten().tolist() == pytest.approx([0, 0.1, 0.2])


def test_heat_maps_of_no_text_are_none_and_what_does_not_fit_is_an_error():
    maps, texts = random_maps()
    assert heat_maps(maps, texts[:0], 4).shape == (0, 5, 7)
    with pytest.raises(ValueError, match="21 components of embeddings that have 20"):
        heat_maps(maps, texts, 21)
    with pytest.raises(ValueError, match="20 maps, but texts of 19"):
        heat_maps(maps, texts[:, 1:], 4)


@pytest.mark.parametrize("size", [(416, 416), (640, 427), (333, 500)])
def test_peaks_equal_a_twin_cell_by_cell(size):
    heat = torch.randn(9, 13, 13, generator=torch.Generator().manual_seed(1))
    for corner in (False, True):
        for point, one in zip(peaks(heat, size, corner), heat.numpy(), strict=True):
            row, column = np.unravel_index(one.argmax(), one.shape)
            shift = 0 if corner else 0.5
            expected = ((column + shift) * size[0] / 13, (row + shift) * size[1] / 13)
            assert point.tolist() == pytest.approx(expected, abs=1e-4)


def test_peaks_by_hand():
    heat = torch.zeros(1, 13, 13)
    heat[0, 2, 5] = 1
    assert peaks(heat, (416, 416), corner=True).tolist() == [[5 * 32, 2 * 32]]
    assert peaks(heat, (416, 416)).tolist() == [[5 * 32 + 16, 2 * 32 + 16]]
    assert peaks(heat, (832, 208)).tolist() == [[5 * 64 + 32, 2 * 16 + 8]]


@pytest.mark.parametrize("sigma", [0.05, 0.115, 0.6])
def test_smoothed_maps_equal_a_twin_cell_by_cell(sigma):
    heat = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1)) - 7
    for ours, one in zip(smoothed(heat, sigma), heat.numpy(), strict=True):
        np.testing.assert_allclose(ours, twin_smoothed(one, sigma), rtol=1e-4, atol=1e-5)


def test_smoothing_by_hand():
    heat = torch.tensor([[[-5.0, -4, -5]]])  # 1 in the middle, above the minimum
    weight = math.exp(-1 / 2)  # of a neighbour, one deviation away
    assert smoothed(heat, 1 / 3).flatten().tolist() == pytest.approx([weight, 1, weight])


def test_a_little_smoothing_moves_no_peak_and_none_shifts_alone():
    heat = torch.randn(50, 13, 13, generator=torch.Generator().manual_seed(2))
    highest, middle = both_peaks(heat, (640, 427), 0.01).unbind(dim=1)
    assert highest.tolist() == middle.tolist() == peaks(heat, (640, 427)).tolist()
    lowest = heat.amin(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(smoothed(heat, 0.0), heat - lowest, rtol=0, atol=0)


def test_the_smoothed_peak_is_where_much_lights_up_and_not_at_a_lone_cell():
    heat = torch.zeros(1, 13, 13)
    heat[0, 0, 12] = 1.5  # a lone cell, in the corner
    heat[0, 7:10, 2:5] = 1
    (found,) = both_peaks(heat, (130, 260), 1.5 / 13).tolist()
    assert found == [[125.0, 10.0], [35.0, 170.0]]


def test_a_share_of_the_side_means_the_same_at_every_size():
    coarse = torch.rand(20, 6, 6, generator=torch.Generator().manual_seed(3)) / 3
    coarse[:, 2:4, 1] = 1
    fine = coarse.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    one, other = (both_peaks(heat, (60, 60), 0.2)[:, 1] for heat in (coarse, fine))
    assert ((one - other).abs() <= 10).all()  # a cell of the coarse map


def test_a_hit_is_strictly_inside_the_box():
    points = torch.tensor([[10.0, 10.0], [10.5, 10.5], [30.0, 20.0], [29.0, 30.0], [12.0, 29.9]])
    boxes = torch.tensor([[10.0, 10.0, 20.0, 20.0]]).expand(5, 4)
    assert points_in_boxes(points, boxes).tolist() == [False, True, False, False, True]
    empty = torch.tensor([[10.0, 10.0, 0.0, 5.0]])
    assert not points_in_boxes(torch.tensor([[10.0, 12.0]]), empty).any()


def test_a_large_box_covers_a_twentieth_of_the_image():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9.9]])
    assert large_boxes(boxes, (50, 40)).tolist() == [True, False]


def twin_mask(heat, threshold=0.45, side=200):
    heat = heat.numpy().astype(np.float64)
    stretched = (heat - heat.min()) / (heat.max() - heat.min())
    resized = cv2.resize(stretched, (side, side), interpolation=cv2.INTER_LINEAR)
    return resized > threshold * (resized.max() - resized.min())


def test_published_masks_equal_a_twin():
    heat = torch.randn(5, 13, 13, generator=torch.Generator().manual_seed(2)).double()
    for ours, one in zip(masks(heat, (200, 200)), heat, strict=True):
        assert (ours.numpy() == twin_mask(one)).all()


def test_the_mask_of_a_flat_map_is_empty_and_overlaps_nothing():
    for value in (0.0, 3.7, -1e6):
        flat = masks(torch.full((1, 4, 4), value), (20, 10))
        assert flat.shape == (1, 10, 20)
        assert not flat.any()
        assert intersection_over_union(flat, torch.ones(1, 10, 20).bool()).item() == 0
        assert intersection_over_union(flat, flat).item() == 0


def test_a_mask_may_be_nearly_the_whole_image():
    heat = torch.ones(1, 10, 10)
    heat[0, 0, 0] = 0
    assert masks(heat, (10, 10)).sum() == 99


@pytest.mark.parametrize("size", [(200, 200), (7, 3), (400, 150)])
def test_nearest_resizing_equals_opencv(size):
    # Of 245 rows and 224 columns, OpenCV takes some that exact arithmetic would not.
    mask = np.random.default_rng(0).integers(0, 2, (245, 224)).astype(np.uint8)
    twin = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    assert (resize_nearest(torch.from_numpy(mask)[None], size)[0].numpy() == twin).all()


def test_boxes_around_masks_by_hand():
    mask = torch.zeros(2, 6, 8, dtype=torch.bool)
    mask[0, 2:5, 3:4] = True
    mask[0, 4, 6] = True
    assert mask_boxes(mask).tolist() == [[3, 2, 4, 3], [0, 0, 0, 0]]


def test_average_precision_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    hits = torch.tensor([True, False, True, False])
    assert average_precision(scores, hits, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, hits, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert average_precision(scores, ~hits, 2) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert math.isnan(average_precision(scores, hits, 0))


def test_ties_in_confidence_gain_nothing_whatever_their_order():
    scores = torch.tensor([0.5, 0.5, 0.5, 0.5])
    for place in range(4):
        hits = torch.arange(4) == place
        assert average_precision(scores, hits, 1) == pytest.approx(1 / 4)


def test_published_average_precision_leaves_out_the_best_image():
    ious = torch.tensor([0.6, 0.45, 0.2, 0.9])
    assert published_average_precision(ious, 0.3) == (3 - 1) / 4
    assert published_average_precision(ious, 0.7) == 0
    assert published_average_precision(ious, 0.95) == 0
    assert math.isnan(published_average_precision(ious[:0], 0.3))


def test_segmentation_metrics_equal_a_twin_over_all_pairs():
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(12, 4, generator=generator)
    pairs = [(i, c) for i in range(12) for c in range(3) if (i + c) % 3 == 0]  # category 3: none
    ious = torch.rand(len(pairs), generator=generator)
    images, categories = (torch.tensor(column) for column in zip(*pairs, strict=True))
    metrics = segmentation_metrics(scores, images, categories, ious, ious)
    overlap = dict(zip(pairs, ious.tolist(), strict=True))
    for threshold in (0.3, 0.4, 0.5):
        precisions = []
        for c in range(3):
            ranked = sorted(range(12), key=lambda i: -scores[i, c].item())
            found, total = 0, 0.0
            for place, image in enumerate(ranked, start=1):
                if overlap.get((image, c), 0) > threshold:
                    found += 1
                    total += found / place
            precisions.append(total / sum(pair[1] == c for pair in pairs))
        assert metrics[f"mAP@{threshold}"] == pytest.approx(sum(precisions) / 3, abs=1e-6)
        assert math.isnan(metrics[f"mAP@{threshold}/published"])  # as category 3 has no image
    assert metrics["mean_iou"] == pytest.approx(ious.mean().item())
