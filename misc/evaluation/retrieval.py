"""Retrieval metrics, by counting ranks in chunks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from misc.features.search import hubness

CHUNK = 1024  # queries that are scored at once: memory is CHUNK x items, not queries x items
DIRECTIONS = ("i2t", "t2i")


class Ranking(NamedTuple):
    """How Q queries ranked their items; rows are those of all images and captions."""

    queries: Tensor  # (Q,), their rows
    ranks: Tensor  # (Q,), 1-based, of the best relevant item
    first: Tensor  # (Q,), the row of the item with the highest score


def _rank(
    queries: Tensor, items: Tensor, query_ids: Tensor, item_ids: Tensor, penalties: Tensor
) -> tuple[Tensor, Tensor]:
    """Rank items for queries, relevant are equal ids: ranks (Q,) and the first item's place (Q,).

    A rank is 1 + the number of irrelevant items that score at least as high as the best relevant
    one, so ties with them count against the query and a collapsed model is not rewarded, while
    equal captions of the same image are not held against each other. Penalties (M,) are taken
    from the items' scores.
    """
    ranks, first = [], []
    for chunk, ids in zip(queries.split(CHUNK), query_ids.split(CHUNK), strict=True):
        scores = torch.addmm(penalties, chunk, items.T, beta=-1)  # (chunk, M)
        relevant = ids[:, None] == item_ids[None, :]
        best = scores.masked_fill(~relevant, float("-inf")).amax(dim=1, keepdim=True)
        ranks.append(1 + ((scores >= best) & ~relevant).sum(dim=1))
        first.append(scores.argmax(dim=1))
    return torch.cat(ranks), torch.cat(first)


def _summary(ranks: Tensor) -> dict[str, float]:
    """Recall (percent), median and mean of ranks (N,)."""
    ranks = ranks.double()
    recalls = {f"R@{k}": (ranks <= k).double().mean().item() * 100 for k in (1, 5, 10)}
    # quantile, not median: torch's median of an even number is the lower of the middle two.
    median = ranks.quantile(0.5).item()
    return recalls | {"median_rank": median, "mean_rank": ranks.mean().item()}


def rank_pairs(
    images: Tensor,
    captions: Tensor,
    caption_image: Tensor,
    folds: int = 1,
    reference: Tensor | None = None,
) -> list[dict[str, Ranking]]:
    """Rank captions for images, "i2t", and images for captions, "t2i", on each fold.

    Args:
        images: (N, D) image embeddings with unit rows; those without captions are distractors only.
        captions: (M, D) caption embeddings with unit rows.
        caption_image: (M,) the row of ``images`` that each caption describes.
        folds: into how many consecutive groups of images the set is cut.
        reference: (2, R, D), images and captions of training, by which hubs are told (see
            ``hubness``); ``None`` ranks by similarity alone.

    Raises:
        ValueError: if shapes or rows do not fit, or an embedding is not finite (it is named).
    """
    _check(images, captions, caption_image, folds)
    of_image, of_caption = images.new_zeros(len(images)), captions.new_zeros(len(captions))
    if reference is not None:
        of_image = hubness(images, reference[1]) / 2
        of_caption = hubness(captions, reference[0]) / 2
    results = []
    for rows in torch.arange(len(images), device=images.device).tensor_split(folds):
        chosen = ((caption_image >= rows[0]) & (caption_image <= rows[-1])).nonzero().flatten()
        if not len(chosen):
            raise ValueError(f"no caption describes the images {rows[0]} to {rows[-1]} of a fold")
        owners = caption_image[chosen]
        described = rows[torch.isin(rows, owners)]  # an image without captions is no query
        ranks, first = _rank(
            images[described], captions[chosen], described, owners, of_caption[chosen]
        )
        of_images = Ranking(described, ranks, chosen[first])
        ranks, first = _rank(captions[chosen], images[rows], owners, rows, of_image[rows])
        of_captions = Ranking(chosen, ranks, rows[first])
        results.append({"i2t": of_images, "t2i": of_captions})
    return results


def summarize(rankings: Sequence[Mapping[str, Ranking]]) -> dict[str, float]:
    """Average recall and ranks over folds; keys as ``retrieval_metrics`` gives them."""
    results = []
    for ranking in rankings:
        metrics = {
            f"{direction}/{key}": value
            for direction in DIRECTIONS
            for key, value in _summary(ranking[direction].ranks).items()
        }
        rsum = sum(value for key, value in metrics.items() if "/R@" in key)
        results.append(metrics | {"rsum": rsum})
    return {key: sum(one[key] for one in results) / len(results) for key in results[0]}


def retrieval_metrics(
    images: Tensor, captions: Tensor, caption_image: Tensor, folds: int = 1
) -> dict[str, float]:
    """Recall and ranks of retrieval in both directions, averaged over folds.

    Five folds of the 5,000 COCO images are the "1K" protocol. Arguments and errors are those of
    ``rank_pairs``.

    Returns:
        ``i2t/R@1``, ``i2t/R@5``, ``i2t/R@10`` (percent), ``i2t/median_rank``, ``i2t/mean_rank``
        (1-based) for captions found by an image, the same under ``t2i/`` for images found by a
        caption, and ``rsum``, the sum of the six recalls.
    """
    return summarize(rank_pairs(images, captions, caption_image, folds))


def _check(images: Tensor, captions: Tensor, caption_image: Tensor, folds: int) -> None:
    if not len(images) or not len(captions):
        raise ValueError(f"nothing to retrieve: {len(images)} images, {len(captions)} captions")
    if len(captions) != len(caption_image):
        raise ValueError(f"{len(captions)} captions, but {len(caption_image)} rows of their images")
    if caption_image.min() < 0 or caption_image.max() >= len(images):
        raise ValueError(f"caption_image has rows outside 0 to {len(images) - 1}")
    if not 1 <= folds <= len(images):
        raise ValueError(f"{len(images)} images cannot be cut into {folds} folds")
    for name, embeddings in (("image", images), ("caption", captions)):
        bad = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if bad:
            raise ValueError(f"the embedding of {name} {bad[0]} is not finite ({len(bad)} in all)")


def format_metrics(metrics: dict[str, float]) -> str:
    """Lay retrieval metrics out as a table of two lines, one a direction."""
    columns = ("R@1", "R@5", "R@10", "median_rank", "mean_rank")
    names = {"i2t": "image -> caption", "t2i": "caption -> image"}
    lines = [" " * 17 + "".join(f"{column:>13}" for column in columns)]
    for direction in DIRECTIONS:
        values = (metrics[f"{direction}/{column}"] for column in columns)
        lines.append(f"{names[direction]:<17}" + "".join(f"{value:13.1f}" for value in values))
    return "\n".join([*lines, f"{'rsum':<17}{metrics['rsum']:13.1f}"])
