"""Where a text is in an image: heat maps, their peaks and masks, and how good these are."""

import torch
import torch.nn.functional as F
from torch import Tensor

PUBLISHED_SIDE = 200  # pixels; the published masks are compared as squares of this side


def heat_maps(maps: Tensor, texts: Tensor, num_components: int) -> Tensor:
    """Compute the heat maps of texts in one image, all in one product (Eq. 9).

    The largest (not the largest absolute) components u of a text embedding v choose the maps
    G'[u]; each is weighted by the absolute value of v[u].

    Args:
        maps: (D, h, w), the projected maps G' of the image.
        texts: (M, D), text embeddings.
        num_components: how many components of a text count; 180 for pointing, 10 for masks.

    Returns:
        (M, h, w), float32 (float64 if the maps are).

    Raises:
        ValueError: if there are fewer than ``num_components``, or dimensions do not fit.
    """
    dimension = len(maps)
    if texts.shape[1] != dimension:
        raise ValueError(f"{dimension} maps, but texts of {texts.shape[1]} components")
    if not 1 <= num_components <= dimension:
        raise ValueError(
            f"{num_components} components of embeddings that have {dimension}; "
            f"use --components 1 to {dimension}"
        )
    values, components = texts.topk(num_components, dim=1, sorted=False)
    # Zeros elsewhere, so that all texts share one product: a gather would copy M * k maps.
    weights = torch.zeros_like(texts).scatter_(1, components, values.abs())
    if maps.dtype != torch.float64:
        maps = maps.float()
    # Under autocast this product would be rounded to bfloat16, and peaks would move.
    with torch.autocast(maps.device.type, enabled=False):
        product = weights.to(maps.dtype) @ maps.flatten(1)  # (M, h*w)
    return product.view(len(texts), *maps.shape[1:])


def kernel_heat_maps(maps: Tensor, kernels: Tensor) -> Tensor:
    """Compute heat maps (M, h, w), float32, of an image's maps G (D, h, w), not projected.

    Args:
        maps: (D, h, w).
        kernels: (M, D), the texts', from ``JointEmbedding.localization_kernels``.
    """
    product = kernels @ maps.flatten(1).float()  # (M, h*w)
    return product.view(len(kernels), *maps.shape[1:])


def peaks(heat_maps: Tensor, image_size: tuple[int, int], corner: bool = False) -> Tensor:
    """Find the highest cell of each heat map, as a point of the original image.

    The model saw the image squeezed to a square, so a cell is as wide as the image's width
    divided by w and as high as its height divided by h.

    Args:
        heat_maps: (M, h, w).
        image_size: (width, height) of the original image in pixels.
        corner: True for the cell's upper-left corner, as published; False for its centre.

    Returns:
        (M, 2), x and y in pixels.
    """
    height, width = heat_maps.shape[1:]
    cells = heat_maps.flatten(1).argmax(dim=1)
    places = torch.stack([cells % width, cells // width], dim=1)  # (M, 2), column and row
    doubled = 2 * places + (0 if corner else 1)
    # Whole numbers up to a single division: points on the edge of a box are exactly on it.
    return doubled * doubled.new_tensor(image_size) / doubled.new_tensor([2 * width, 2 * height])


def smoothed(heat_maps: Tensor, sigma: float) -> Tensor:
    """Smooth heat maps by a Gaussian, so that their peaks are in the middle of what lights up.

    Each map is shifted to a minimum of 0, and zeros are beyond its border: a peak at the border
    has less around it than one inside.

    Args:
        heat_maps: (M, h, w).
        sigma: standard deviation, as a share of the map's sides; 0 only shifts.

    Returns:
        (M, h, w), up to a factor that all of them share.
    """
    shifted = heat_maps - heat_maps.amin(dim=(1, 2), keepdim=True)
    rows, columns = (_gaussian(side, sigma * side).to(heat_maps) for side in heat_maps.shape[1:])
    return rows @ shifted @ columns


def _gaussian(side: int, sigma: float) -> Tensor:
    """Weigh each of so many cells in a row (side, side) by its distance from each."""
    cells = torch.arange(side, dtype=torch.float64)
    distances = (cells - cells[:, None]) / max(sigma, 1e-6)
    return distances.square().div(-2).exp()


def both_peaks(heat_maps: Tensor, image_size: tuple[int, int], sigma: float) -> Tensor:
    """Find the peaks of heat maps (M, h, w), as published and after smoothing: (M, 2, 2)."""
    each = (peaks(maps, image_size) for maps in (heat_maps, smoothed(heat_maps, sigma)))
    return torch.stack(list(each), dim=1)


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Say which points (M, 2) are strictly inside their boxes (M, 4), x, y, width, height: (M,)."""
    corners = boxes[:, :2]
    return ((points > corners) & (points < corners + boxes[:, 2:])).all(dim=1)


def large_boxes(boxes: Tensor, image_size: tuple[int, int], share: float = 0.05) -> Tensor:
    """Say which boxes (M, 4) cover at least a share of an image (width, height): (M,)."""
    width, height = image_size
    return boxes[:, 2] * boxes[:, 3] >= share * width * height


def masks(heat_maps: Tensor, image_size: tuple[int, int], threshold: float = 0.45) -> Tensor:
    """Cut heat maps, resized bilinearly, at a share of their range.

    As published: each map is shifted so that its minimum is 0, resized, and a pixel belongs to
    the mask where its value exceeds ``threshold * (max - min)`` of the resized map. The mask of
    a flat map, which says nothing, is empty.

    Args:
        heat_maps: (M, h, w).
        image_size: (width, height) of the masks in pixels.
        threshold: share of the range.

    Returns:
        (M, height, width), True inside.
    """
    width, height = image_size
    # No division: the published stretch to 0..1 scales both sides of the comparison alike. The
    # shift comes before resizing, so that a flat map stays exactly flat.
    shifted = heat_maps - heat_maps.amin(dim=(1, 2), keepdim=True)
    resized = F.interpolate(shifted[:, None], size=(height, width), mode="bilinear")[:, 0]
    low, high = resized.amin(dim=(1, 2), keepdim=True), resized.amax(dim=(1, 2), keepdim=True)
    return resized > threshold * (high - low)


def mask_boxes(masks: Tensor) -> Tensor:
    """Find the boxes (M, 4) around masks (M, H, W): x, y, width, height; zeros where empty."""
    boxes = []
    for lines in (masks.any(dim=1).int(), masks.any(dim=2).int()):  # columns (M, W), rows (M, H)
        first = lines.argmax(dim=1)
        beyond = lines.shape[1] - lines.flip(dims=(1,)).argmax(dim=1)
        boxes.append(torch.stack([first, beyond - first], dim=1))  # (M, 2), start and extent
    (x, width), (y, height) = (side.unbind(dim=1) for side in boxes)
    found = masks.flatten(1).any(dim=1)
    return torch.stack([x, y, width, height], dim=1) * found[:, None]


def resize_nearest(masks: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Resize masks (M, H, W) to image_size (width, height) as OpenCV does, nearest neighbour."""
    sides = zip(masks.shape[1:], reversed(image_size), strict=True)
    # Divided twice: that is how OpenCV rounds, one pixel beside the exact one for some sizes.
    rows, columns = (
        (torch.arange(new, dtype=torch.float64) * (1 / (new / old))).long().clamp(max=old - 1)
        for old, new in sides
    )
    return masks[:, rows][:, :, columns]


def intersection_over_union(masks: Tensor, targets: Tensor) -> Tensor:
    """Compare masks (M, H, W) with targets (M, H, W), all boolean: (M,); 0 where both are empty."""
    intersection = (masks & targets).sum(dim=(1, 2))
    union = (masks | targets).sum(dim=(1, 2))
    return intersection / union.clamp(min=1)


def average_precision(scores: Tensor, hits: Tensor, num_positives: int) -> float:
    """Area under the precision-recall curve of a ranked list, without interpolation.

    The mean over all positives of the precision at their place in the list; a positive that is
    no hit adds 0. What has equal scores shares one place, the last, so order plays no part and
    ties gain nothing.

    Args:
        scores: (N,), the confidence of each item.
        hits: (N,), True where the item is a true positive.
        num_positives: how many there are to be found, at least the number of hits.

    Returns:
        0 to 1; NaN without positives.
    """
    if num_positives == 0:
        return float("nan")
    ranked, order = scores.sort(descending=True)
    places = torch.searchsorted(-ranked, -ranked, right=True)  # 1-based, the last of equal scores
    found = hits[order].cumsum(dim=0)
    precisions = found[places - 1] / places
    return (precisions.double() * hits[order]).sum().item() / num_positives


def published_average_precision(ious: Tensor, threshold: float) -> float:
    """Compute what the code of 2018 called average precision; to compare with the paper only.

    It ranked the images that show a category by the overlap itself, which needs the ground
    truth, and left out the best one.

    Args:
        ious: (P,), intersection over union in each image that shows the category.
        threshold: overlap above which a mask counts.

    Returns:
        0 to 1; NaN without images.
    """
    if not len(ious):
        return float("nan")
    return max(int((ious > threshold).sum()) - 1, 0) / len(ious)


def segmentation_metrics(
    scores: Tensor, images: Tensor, categories: Tensor, ious: Tensor, published_ious: Tensor
) -> dict[str, float]:
    """Summarise how well the masks of C categories fit in N images.

    Args:
        scores: (N, C), the confidence that a category is in an image.
        images: (P,), the row of ``scores`` of each pair of an image and a category in it.
        categories: (P,), the column.
        ious: (P,), intersection over union of the pairs' masks.
        published_ious: (P,), the same on the published masks.

    Returns:
        For the overlaps 0.3, 0.4 and 0.5: ``mAP@t``, where a mask is a true positive if the
        category is there and overlaps by more than t, over the categories that are in some
        image; ``mAP@t/published``, what the code of 2018 computed, NaN if a category is in no
        image. ``mean_iou`` over the pairs. All from 0 to 1, NaN without pairs.
    """
    metrics = {}
    for threshold in (0.3, 0.4, 0.5):
        precisions, published = [], []
        for category, confidence in enumerate(scores.unbind(dim=1)):
            pairs = categories == category
            hits = torch.zeros(len(scores), dtype=torch.bool)
            hits[images[pairs]] = ious[pairs] > threshold
            precisions.append(average_precision(confidence, hits, int(pairs.sum())))
            published.append(published_average_precision(published_ious[pairs], threshold))
        metrics[f"mAP@{threshold}"] = torch.tensor(precisions).nanmean().item()
        metrics[f"mAP@{threshold}/published"] = torch.tensor(published).mean().item()
    return metrics | {"mean_iou": ious.mean().item()}
