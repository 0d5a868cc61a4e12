"""Retrieval metrics, by counting ranks in chunks."""

import torch
from torch import Tensor

CHUNK = 1024  # queries that are scored at once: memory is CHUNK x items, not queries x items
DIRECTIONS = ("i2t", "t2i")


def _ranks(queries: Tensor, items: Tensor, query_ids: Tensor, item_ids: Tensor) -> Tensor:
    """Rank (N,), 1-based, of the best relevant item of each query; relevant: equal ids.

    A rank is 1 + the number of irrelevant items that score at least as high as the best relevant
    one, so ties with them count against the query and a collapsed model is not rewarded, while
    equal captions of the same image are not held against each other.
    """
    ranks = []
    for chunk, ids in zip(queries.split(CHUNK), query_ids.split(CHUNK), strict=True):
        scores = chunk @ items.T  # (chunk, M)
        relevant = ids[:, None] == item_ids[None, :]
        best = scores.masked_fill(~relevant, float("-inf")).amax(dim=1, keepdim=True)
        ranks.append(1 + ((scores >= best) & ~relevant).sum(dim=1))
    return torch.cat(ranks)


def _summary(ranks: Tensor) -> dict[str, float]:
    """Recall (percent), median and mean of ranks (N,)."""
    ranks = ranks.double()
    recalls = {f"R@{k}": (ranks <= k).double().mean().item() * 100 for k in (1, 5, 10)}
    # quantile, not median: torch's median of an even number is the lower of the middle two.
    median = ranks.quantile(0.5).item()
    return recalls | {"median_rank": median, "mean_rank": ranks.mean().item()}


def _one_fold(images: Tensor, captions: Tensor, caption_image: Tensor) -> dict[str, float]:
    rows = torch.arange(len(images), device=images.device)
    described = torch.isin(rows, caption_image)  # an image without captions is no query
    ranks = {
        "i2t": _ranks(images[described], captions, rows[described], caption_image),
        "t2i": _ranks(captions, images, caption_image, rows),
    }
    metrics = {
        f"{direction}/{key}": value
        for direction in DIRECTIONS
        for key, value in _summary(ranks[direction]).items()
    }
    rsum = sum(value for key, value in metrics.items() if "/R@" in key)
    return metrics | {"rsum": rsum}


def retrieval_metrics(
    images: Tensor, captions: Tensor, caption_image: Tensor, folds: int = 1
) -> dict[str, float]:
    """Recall and ranks of retrieval in both directions, on embeddings with unit rows.

    Args:
        images: (N, D) image embeddings; those without captions are distractors only.
        captions: (M, D) caption embeddings.
        caption_image: (M,) the row of ``images`` that each caption describes.
        folds: into how many consecutive groups of images the set is cut; the metrics are
            averaged over them (5 folds of the 5,000 COCO images are the "1K" protocol).

    Returns:
        ``i2t/R@1``, ``i2t/R@5``, ``i2t/R@10`` (percent), ``i2t/median_rank``, ``i2t/mean_rank``
        (1-based) for captions found by an image, the same under ``t2i/`` for images found by a
        caption, and ``rsum``, the sum of the six recalls.

    Raises:
        ValueError: if shapes or rows do not fit, or an embedding is not finite (it is named).
    """
    _check(images, captions, caption_image, folds)
    results = []
    for rows in torch.arange(len(images), device=images.device).tensor_split(folds):
        chosen = (caption_image >= rows[0]) & (caption_image <= rows[-1])
        if not chosen.any():
            raise ValueError(f"no caption describes the images {rows[0]} to {rows[-1]} of a fold")
        results.append(_one_fold(images[rows], captions[chosen], caption_image[chosen] - rows[0]))
    return {key: sum(result[key] for result in results) / folds for key in results[0]}


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
