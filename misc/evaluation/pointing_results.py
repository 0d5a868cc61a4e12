"""Results of the pointing game: shares of hits among phrases of a kind, and what can but miss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from misc.cli import listed
from misc.data.entities import TYPES
from misc.data.region_images import Questions, RegionImage
from misc.evaluation.localization import large_boxes
from misc.evaluation.pointing import POINTS, Game, any_of_phrase

# Kinds of phrases: all, those with a large box, those with one box, and those that name a type.
KINDS = ("", "@5%", "@one_box", *(f"@{name}" for name in TYPES))
IN_WORDS = {
    "pointing_game": "peak, centre of its cell",
    "pointing_game/published": "peak, upper-left corner",
    "pointing_game/smoothed": "peak of the smoothed map",
    "pointing_game/largest_box": "peak, in the largest box",
    "centre_baseline": "centre of the image",
    "centre_baseline/largest_box": "centre, in the largest box",
}
NOTES = {
    "not_visual": "phrases left out, they name nothing that is seen",
    "scenes_without_box": "phrases left out, they name the scene, which has no box",
    "others_without_box": "phrases left out, what they name has no box",
    "blank_phrases": "regions whose phrase is blank, counted as misses",
    "empty_boxes": "regions of no width or height, counted as misses",
    "outside_boxes": "regions outside of their image, counted as misses",
    "missing_images": "images left out, their files are missing",
    "missing_regions": "regions of these",
    "unreadable_images": "images left out, the log says why",
}


def summarize(game: Game, questions: Questions, by_category: bool = False) -> dict[str, Any]:
    """Count hits in percent, and list what was left out or can only be missed.

    Args:
        game: all that was scored.
        questions: all that was to be scored, also of images whose files are missing.
        by_category: True where the ids of phrases are those of categories, to be averaged over.
    """
    images = questions.images
    missing = [image for image in images if not image.path]
    ids = torch.tensor([number for image in images for number in image.region_ids])
    hits, numbers = game.scores.hits, game.numbers
    return {
        **shares(hits, kinds(images)[numbers], _given(images)),
        **(category_average(hits, ids[numbers]) if by_category else {}),
        "images": len(images) - len(missing) - len(game.unreadable),
        **questions.not_asked,
        **unusual_regions(images),
        "missing_images": [image.image_id for image in missing],
        "missing_regions": [region for image in missing for region in image.region_ids],
        "unreadable_images": [images[place].image_id for place in game.unreadable],
    }


def kinds(images: Sequence[RegionImage]) -> Tensor:
    """Say of which ``KINDS`` each of the R phrases of all images is: (R, K)."""
    rows = [torch.empty(0, len(KINDS), dtype=torch.bool)]
    for image in images:
        counts = image.phrase_of_box.bincount(minlength=len(image.phrases))
        large = any_of_phrase(image, large_boxes(image.boxes, image.size))
        columns = [torch.ones_like(large), large, counts == 1]
        of_types = torch.zeros(len(large), len(TYPES), dtype=torch.bool)
        for row, names in enumerate(image.types):
            of_types[row, [TYPES.index(name) for name in names]] = True
        rows.append(torch.cat([torch.stack(columns, dim=1), of_types], dim=1))
    return torch.cat(rows)


def _given(images: Sequence[RegionImage]) -> tuple[list[str], list[str]]:
    """Name the ``KINDS`` and ``POINTS`` that differ on these images.

    Types are those of Entities alone, and the largest box is another than any only where a phrase
    has several.
    """
    typed = any(image.types for image in images)
    several = any(len(image.boxes) > len(image.phrases) for image in images)
    names = [kind for kind in KINDS[:3] if several or kind != "@one_box"]
    points = [point for point in POINTS if several or not point.endswith("/largest_box")]
    return names + [*(KINDS[3:] if typed else ())], points


def shares(hits: Tensor, of_kind: Tensor, given: tuple[list[str], list[str]]) -> dict[str, float]:
    """Count hits (R, P) in percent among the phrases of each kind (R, K); NaN of nothing.

    Returns:
        ``point@kind/variant`` for those of ``KINDS`` and ``POINTS`` that are given, and the number
        of phrases under ``regions@kind``.
    """
    results = {}
    kinds_given, points_given = given
    for kind in kinds_given:
        chosen = of_kind[:, KINDS.index(kind)]
        percentages = hits[chosen].double().mean(dim=0) * 100
        for name in points_given:
            results[measure(name, kind)] = percentages[POINTS.index(name)].item()
        results[f"regions{kind}"] = int(chosen.sum())
    return results


def measure(point: str, kind: str) -> str:
    """Name one of ``POINTS`` among the phrases of a kind: ``pointing_game@5%/published``."""
    name, *variant = point.split("/")
    return "/".join([name + kind, *variant])


def category_average(hits: Tensor, ids: Tensor) -> dict[str, float]:
    """Average the shares of hits (R, P) of each category, given by ids (R,): in percent."""
    each = [hits[ids == category].double().mean(dim=0) for category in ids.unique()]
    averages = (
        torch.stack(each).mean(dim=0) * 100 if each else torch.full((len(POINTS),), float("nan"))
    )
    named = zip(POINTS, averages.tolist(), strict=True)
    return {measure(name, "@categories"): average for name, average in named}


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


def format_results(title: str, results: dict[str, Any]) -> str:
    """Lay the results out as a table, and below it what was left out or can only be missed."""
    lines = [title, f"{'hits in percent':<28}{'all boxes':>12}{'boxes >= 5 %':>16}"]
    for name, words in IN_WORDS.items():
        if name in results:
            note = " (published)" if name.endswith("/published") else ""
            large = results[measure(name, "@5%")]
            lines.append(f"{words:<28}{results[name]:>12.1f}{large:>16.1f}{note}")
    if "pointing_game@categories" in results:
        means = (results[measure(name, "@categories")] for name in IN_WORDS if name in results)
        text = ", ".join(f"{mean:.1f}" for mean in means)
        lines.append(f"{'mean of the categories':<28}{text}")
    lines.append(f"{'regions':<28}{results['regions']:>12}{results['regions@5%']:>16}")
    lines += _by_type(results)
    for key, text in NOTES.items():
        if found := results.get(key):
            lines.append(f"{text}: {listed(found) if isinstance(found, list) else found}")
    if not results["regions"]:
        lines.append("nothing could be scored: no image could be read")
    return "\n".join(lines)


def _by_type(results: dict[str, Any]) -> list[str]:
    """Lay out the hits among the phrases of each type, if there are any types."""
    if f"regions@{TYPES[0]}" not in results:
        return []
    head = "".join(f"{name:>12}" for name in ("phrases", "peak", "smoothed", "centre"))
    lines = [f"{'hits of phrases':<28}{head}"]
    for kind in ("@one_box", *KINDS[3:]):
        points = "pointing_game", "pointing_game/smoothed", "centre_baseline"
        columns = "".join(f"{results[measure(name, kind)]:12.1f}" for name in points)
        name = kind.strip("@").replace("_", " ")
        lines.append(f"{name:<28}{results[f'regions{kind}']:>12}{columns}")
    return lines
