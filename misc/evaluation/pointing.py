"""Score the pointing game: which phrases' heat maps peak inside their boxes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from misc.data.captions import read_captions
from misc.data.paths import DataPaths
from misc.data.regions import RegionImage, read_category_boxes, read_coco_ids, read_regions
from misc.evaluation.localization import (
    both_peaks,
    kernel_heat_maps,
    large_boxes,
    peaks,
    points_in_boxes,
)
from misc.inference.batches import MappedBatch
from misc.runtime.distributed import gather_lists, gather_rows
from misc.runtime.failures import Failure

# What is scored, in the order of the columns of the hits.
POINTS = (
    "pointing_game",
    "pointing_game/published",
    "pointing_game/smoothed",
    "centre_baseline",
)

logger = logging.getLogger(__name__)


def chosen_images(
    paths: DataPaths,
    rest_val: bool,
    all_images: bool,
    prompt: str | None = None,
    left_out: list[Failure] | None = None,
) -> list[RegionImage]:
    """Read the images with regions: those in COCO val2014, in Karpathy's val split, or all.

    With a prompt for categories, the regions are COCO's own things; ``left_out`` gets what cannot
    be used of the files.

    Raises:
        ValueError: if images outside of COCO are asked for, and its things.
    """
    if all_images and prompt is not None:
        raise ValueError("--all-images is for Visual Genome, not for --dataset coco")
    chosen: set[int] | None = None
    if rest_val:
        chosen = {image.image_id for image in read_captions(paths, ("val",), left_out)}
    if prompt is not None:
        images = read_category_boxes(paths, prompt, left_out)
        return [image for image in images if chosen is None or image.image_id in chosen]
    if not rest_val and not all_images:
        chosen = read_coco_ids(paths, left_out)
    return read_regions(paths, chosen, left_out)


def score_regions(image: RegionImage, heat: Tensor, sigma: float) -> Tensor:
    """Say what hits the boxes of an image.

    Args:
        image: with R regions.
        heat: (S, h, w), the heat maps of its phrases that are not blank.
        sigma: of the smoothed peak, as a share of the map's sides.

    Returns:
        (R, P), one column for each of ``POINTS``; a blank phrase points nowhere and misses.
    """
    spoken = torch.tensor([bool(phrase.strip()) for phrase in image.phrases])
    highest, middle = both_peaks(heat, image.size, sigma).unbind(dim=1)
    columns = []
    for peak in (highest, peaks(heat, image.size, corner=True), middle):
        points = torch.full((len(spoken), 2), float("nan"))
        points[spoken] = peak
        columns.append(points_in_boxes(points[image.phrase_of_box], image.boxes))
    centre = torch.tensor(image.size).div(2).expand(len(image.boxes), 2)
    columns.append(points_in_boxes(centre, image.boxes))
    return torch.stack([any_of_phrase(image, inside) for inside in columns], dim=1)


def any_of_phrase(image: RegionImage, boxes: Tensor) -> Tensor:
    """Say for each phrase (R,) whether something holds for any of its boxes (B,)."""
    return torch.zeros(len(image.phrases)).index_add(0, image.phrase_of_box, boxes.float()) > 0


def score_images(
    images: Sequence[RegionImage],
    batches: Iterable[MappedBatch],
    kernels: Callable[[list[str]], Tensor],
    sigma: float,
) -> Iterator[tuple[RegionImage, Tensor | None]]:
    """Score image by image; their maps live only as long as their batch.

    Args:
        images: all of them.
        batches: maps of all images.
        kernels: turns M texts into localisation kernels (M, D).
        sigma: of the smoothed peak, as a share of the map's sides.

    Yields:
        An image and the hits (R, P) of its regions; ``None`` if it could not be read.
    """
    for indices, _, maps, failures in batches:
        for failure in failures:
            logger.warning("left out: %s", failure.reason)
            yield images[failure.index], None
        phrases = [spoken_phrases(images[index]) for index in indices]
        weights = kernels([text for group in phrases for text in group])
        groups = weights.split([len(group) for group in phrases])
        for index, image_maps, group in zip(indices, maps, groups, strict=True):
            heat = kernel_heat_maps(image_maps, group).cpu()
            yield images[index], score_regions(images[index], heat, sigma)


class Hits(NamedTuple):
    """What all processes scored: R regions."""

    hits: Tensor  # (R, P), one column for each of ``POINTS``
    large: Tensor  # (R,), True where the box is large
    ids: Tensor  # (R,)
    unreadable: list[int]  # ids of the images that could not be read


def gather_hits(scored: Iterable[tuple[RegionImage, Tensor | None]]) -> Hits:
    """Collect what all processes scored, each its own images."""
    hits, large = [torch.empty(0, len(POINTS)).bool()], [torch.empty(0).bool()]
    ids = [torch.empty(0, dtype=torch.long)]
    unreadable: list[int] = []
    for image, image_hits in scored:
        if image_hits is None:
            unreadable.append(image.image_id)
            continue
        hits.append(image_hits)
        large.append(any_of_phrase(image, large_boxes(image.boxes, image.size)))
        ids.append(torch.tensor(image.region_ids))
    together = (gather_rows(torch.cat(parts)) for parts in (hits, large, ids))
    all_hits, all_large, all_ids = together
    return Hits(all_hits, all_large, all_ids, gather_lists(unreadable))


def spoken_phrases(image: RegionImage) -> list[str]:
    """Return the phrases of an image that are not blank."""
    return [phrase for phrase in image.phrases if phrase.strip()]


def unusual_regions(images: Sequence[RegionImage]) -> dict[str, list[int]]:
    """List the ids of regions that nothing can hit: no phrase, no area, not in the image."""
    found: dict[str, list[int]] = {"blank_phrases": [], "empty_boxes": [], "outside_boxes": []}
    for image in images:
        low, extent = image.boxes.split(2, dim=1)
        empty = (extent <= 0).any(dim=1)
        outside = ((low >= torch.tensor(image.size)) | (low + extent <= 0)).any(dim=1) & ~empty
        blank = torch.tensor([not phrase.strip() for phrase in image.phrases])
        unusual = blank, any_of_phrase(image, empty), any_of_phrase(image, outside)
        for ids, chosen in zip(found.values(), unusual, strict=True):
            ids += torch.tensor(image.region_ids)[chosen].tolist()
    return found


def category_average(hits: Tensor, ids: Tensor) -> dict[str, float]:
    """Average the shares of hits (R, P) of each category, given by ids (R,): in percent."""
    each = [hits[ids == category].double().mean(dim=0) for category in ids.unique()]
    averages = (
        torch.stack(each).mean(dim=0) * 100 if each else torch.full((len(POINTS),), float("nan"))
    )
    named = zip(POINTS, averages.tolist(), strict=True)
    return {f"{name}@categories": average for name, average in named}


def summarize(
    scored: Hits, images: Sequence[RegionImage], by_category: bool = False
) -> dict[str, Any]:
    """Count hits in percent, and list what was left out or can only be missed.

    Args:
        scored: all regions.
        images: all that were to be scored, also those whose files are missing.
        by_category: True where the ids of regions are those of categories, to be averaged over.
    """
    missing = [image for image in images if not image.path]
    return {
        **shares(scored.hits, scored.large),
        **(category_average(scored.hits, scored.ids) if by_category else {}),
        "images": len(images) - len(missing) - len(scored.unreadable),
        **unusual_regions(images),
        "missing_images": [image.image_id for image in missing],
        "missing_regions": [region for image in missing for region in image.region_ids],
        "unreadable_images": scored.unreadable,
    }


def shares(hits: Tensor, large: Tensor) -> dict[str, float]:
    """Count hits (R, P) in percent; ``@5%``: among the large boxes (R,) only. NaN of nothing."""
    results = {}
    for suffix, chosen in (("", torch.ones_like(large)), ("@5%", large)):
        percentages = hits[chosen].double().mean(dim=0) * 100
        for name, share in zip(POINTS, percentages.tolist(), strict=True):
            measure, *variant = name.split("/")
            results["/".join([measure + suffix, *variant])] = share
        results[f"regions{suffix}"] = int(chosen.sum())
    return results
