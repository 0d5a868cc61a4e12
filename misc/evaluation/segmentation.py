"""Score masks of categories: how well thresholded heat maps fit outlines."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from misc.data.outlines import InstanceImage, category_masks
from misc.evaluation.localization import (
    PUBLISHED_SIDE,
    intersection_over_union,
    kernel_heat_maps,
    masks,
    resize_nearest,
    segmentation_metrics,
)
from misc.inference.batches import MappedBatch
from misc.runtime.distributed import gather_lists, gather_rows, in_order

logger = logging.getLogger(__name__)


class Scores(NamedTuple):
    """All that is kept of N images and C categories, with P pairs where the one shows the other."""

    places: Tensor  # (N,), of the images in the list of all
    confidences: Tensor  # (N, C)
    images: Tensor  # (P,), row of each pair
    categories: Tensor  # (P,), column of each pair
    ious: Tensor  # (P, 3), intersection over union: our mask, the published, the whole image
    left_out: list[int]  # ids of the images that could not be read


def score_pairs(image: InstanceImage, heat: Tensor, threshold: float) -> tuple[list[int], Tensor]:
    """Compare masks and outlines of the categories that are in an image.

    Args:
        image: with its outlines.
        heat: (C, h, w), the heat maps of all categories.
        threshold: share of a heat map's range above which a pixel is in the mask.

    Returns:
        The P categories in the image, and their overlaps (P, 3): our mask, the published mask,
        the whole image.
    """
    categories, targets = category_masks(image)
    published_size = (PUBLISHED_SIDE, PUBLISHED_SIDE)
    published_targets = resize_nearest(category_masks(image, published=True)[1], published_size)
    heat = heat[categories]
    overlaps = (
        intersection_over_union(masks(heat, image.size, threshold), targets),
        intersection_over_union(masks(heat, published_size, threshold), published_targets),
        targets.float().mean(dim=(1, 2)),
    )
    return categories, torch.stack(overlaps, dim=1)


def score_images(
    images: list[InstanceImage],
    batches: Iterable[MappedBatch],
    texts: Tensor,
    kernels: Tensor,
    threshold: float,
) -> Scores:
    """Score image by image; of each, only numbers are kept.

    Args:
        images: all of them.
        batches: embeddings and maps of all images.
        texts: (C, D), embeddings of the categories' prompts.
        kernels: (C, D), their localisation kernels.
        threshold: share of a heat map's range above which a pixel is in the mask.
    """
    confidences, places, rows, columns = torch.empty(len(images), len(texts)), [], [], []
    ious, left_out, count = [], [], 0  # ious as numbers: small tensors would scatter the memory
    for batch in batches:
        for failure in batch.failures:
            logger.warning("left out: %s", failure.reason)
            left_out.append(images[failure.index].image_id)
        similarities = (batch.embeddings.float() @ texts.T).cpu()  # (B, C)
        for place, index in enumerate(batch.indices):
            heat = kernel_heat_maps(batch.maps[place], kernels).cpu()
            categories, overlaps = score_pairs(images[index], heat, threshold)
            places.append(index)
            confidences[count] = similarities[place]
            rows += [count] * len(categories)
            columns += categories
            ious += overlaps.tolist()
            count += 1
    return Scores(
        torch.tensor(places, dtype=torch.long),
        confidences[:count],
        torch.tensor(rows, dtype=torch.long),
        torch.tensor(columns, dtype=torch.long),
        torch.tensor(ious).view(-1, 3),
        left_out,
    )


def gather_scores(scores: Scores, own: Sequence[int]) -> Scores:
    """Put the scores of all processes together, in the order of the images.

    Args:
        scores: of this process's images.
        own: their places in the list of all images.
    """
    places = torch.tensor(own, dtype=torch.long)[scores.places]
    confidences, ordered = in_order(scores.confidences, places)
    rows = torch.searchsorted(ordered, gather_rows(places[scores.images]))
    rows, order = rows.sort(stable=True)
    categories, ious = gather_rows(scores.categories)[order], gather_rows(scores.ious)[order]
    left_out = gather_lists(scores.left_out)
    return Scores(ordered, confidences, rows, categories, ious, left_out)


def summarize(scores: Scores, names: Sequence[str]) -> dict[str, Any]:
    """Compute the metrics of all scores, and list what was left out, by the categories' names."""
    ours, published, whole = scores.ious.unbind(dim=1)
    pairs = scores.confidences, scores.images, scores.categories
    present = set(scores.categories.tolist())
    return {
        **segmentation_metrics(*pairs, ours, published),
        "mean_iou/whole_image": whole.mean().item(),
        "images": len(scores.confidences),
        "pairs": len(scores.ious),
        "absent_categories": [name for place, name in enumerate(names) if place not in present],
        "images_left_out": scores.left_out,
    }
