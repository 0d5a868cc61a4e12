"""Retrieval on COCO by positives that people found later: ECCV Caption and CxC."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from misc.data.captioned_images import CaptionedImage
from misc.data.positives import read_positives
from misc.evaluation.retrieval import CHUNK, DIRECTIONS

RECALLS = (1, 5, 10)


class Scored(NamedTuple):
    """Measures of Q queries, from 0 to 1."""

    precision: Tensor  # (Q,), R-Precision: the share of positives among the first R items
    average: Tensor  # (Q,), AP@R: the mean over R places of the precision where a positive is
    recalls: Tensor  # (Q, 3), whether a positive is among the first 1, 5 and 10 items


def score_queries(
    queries: Tensor, items: Tensor, ids: Sequence[int], positives: Sequence[frozenset[int]]
) -> Scored:
    """Rank items for queries that have several positives each.

    R is the number of a query's positives, those that are not among the items too, which can only
    be missed. Items with equal scores count against the query, as in ``retrieval_metrics``.

    Args:
        queries: (Q, D), unit rows.
        items: (M, D), unit rows.
        ids: of the M items.
        positives: ids of what belongs to each query, at least one.
    """
    place = {number: row for row, number in enumerate(ids)}
    results = [Scored(torch.empty(0), torch.empty(0), torch.empty(0, len(RECALLS)))]
    for start in range(0, len(queries), CHUNK):
        own = positives[start : start + CHUNK]
        relevant = torch.zeros(len(own), len(items), dtype=torch.bool)
        for row, found in enumerate(own):
            relevant[row, [place[number] for number in found if number in place]] = True
        counts = torch.tensor([len(found) for found in own])
        deepest = min(max(int(counts.max()), max(RECALLS)), len(items))
        hits = _first_hits(queries[start : start + CHUNK] @ items.T, relevant, deepest)
        results.append(_measure(hits, counts))
    return Scored(*(torch.cat(column) for column in zip(*results, strict=True)))


def _first_hits(scores: Tensor, relevant: Tensor, depth: int) -> Tensor:
    """Say which of the first items are relevant (Q, depth), the others first of equal scores."""
    best = scores.masked_fill(~relevant, float("-inf")).topk(depth, dim=1).values
    others = scores.masked_fill(relevant, float("-inf")).topk(depth, dim=1).values
    merged, order = torch.cat([others, best], dim=1).sort(dim=1, descending=True, stable=True)
    return ((order >= depth) & merged.isfinite())[:, :depth]


def _measure(hits: Tensor, counts: Tensor) -> Scored:
    places = torch.arange(1, hits.shape[1] + 1)
    within = hits & (places <= counts[:, None])
    precisions = hits.cumsum(dim=1) / places
    recalls = [hits[:, :k].any(dim=1) for k in RECALLS]
    return Scored(
        within.sum(dim=1) / counts,
        (precisions * within).sum(dim=1) / counts,
        torch.stack(recalls, dim=1).float(),
    )


def check_protocol(images: Sequence[CaptionedImage]) -> None:
    """Make sure, before any work, that captioned images can be scored so.

    Raises:
        ValueError: if the captions have no ids, or the package with the data is missing.
    """
    read_positives("eccv")
    if not any(image.caption_ids for image in images):
        raise ValueError("--protocol eccv is for --dataset coco")


def protocol_metrics(
    images: Sequence[CaptionedImage], image_embeddings: Tensor, caption_embeddings: Tensor
) -> dict[str, float]:
    """Score the queries of ECCV Caption and CxC that are among captioned images.

    Args:
        images: N, whose captions have the ids of COCO's annotations.
        image_embeddings: (N, D), unit rows.
        caption_embeddings: (M, D), unit rows, of their captions in order.

    Returns:
        In percent, in both directions: ``eccv/i2t/mAP@R``, ``eccv/i2t/R-Precision`` and
        ``eccv/i2t/R@1``, and ``cxc/i2t/R@1``, ``R@5`` and ``R@10``; NaN without queries. Their
        numbers, and those that there are in all: ``eccv/i2t/queries``, ``eccv/i2t/all_queries``.

    Raises:
        ValueError: what ``check_protocol`` says.
    """
    check_protocol(images)
    image_ids = [image.image_id for image in images]
    caption_ids = [number for image in images for number in image.caption_ids]
    sides = {"i2t": (image_embeddings, image_ids), "t2i": (caption_embeddings, caption_ids)}
    results: dict[str, float] = {}
    for protocol in ("eccv", "cxc"):
        positives = dict(zip(DIRECTIONS, read_positives(protocol), strict=True))
        for direction, other in (("i2t", "t2i"), ("t2i", "i2t")):
            embeddings, ids = sides[direction]
            rows = [row for row, number in enumerate(ids) if number in positives[direction]]
            own = [positives[direction][ids[row]] for row in rows]
            scored = score_queries(embeddings[rows], *sides[other], own)
            prefix = f"{protocol}/{direction}"
            results |= {f"{prefix}/{key}": value for key, value in _percents(protocol, scored)}
            results[f"{prefix}/queries"] = len(rows)
            results[f"{prefix}/all_queries"] = len(positives[direction])
    return results


def _percents(protocol: str, scored: Scored) -> list[tuple[str, float]]:
    recalls = [(f"R@{k}", column) for k, column in zip(RECALLS, scored.recalls.T, strict=True)]
    measures = recalls
    if protocol == "eccv":
        measures = [("mAP@R", scored.average), ("R-Precision", scored.precision), recalls[0]]
    return [(name, 100 * values.double().mean().item()) for name, values in measures]


def format_protocols(results: Mapping[str, float]) -> list[str]:
    """Lay the results out as two tables, of the protocols."""
    lines = []
    for protocol, title, columns in (
        ("eccv", "ECCV Caption", ("mAP@R", "R-Precision", "R@1")),
        ("cxc", "CxC", ("R@1", "R@5", "R@10")),
    ):
        lines.append(f"{title:<17}" + "".join(f"{column:>13}" for column in columns))
        for direction, name in (("i2t", "image -> caption"), ("t2i", "caption -> image")):
            prefix = f"{protocol}/{direction}"
            values = "".join(f"{results[f'{prefix}/{column}']:13.1f}" for column in columns)
            asked, there = (results[f"{prefix}/{key}"] for key in ("queries", "all_queries"))
            note = "" if asked == there else f"   of {asked:,} of {there:,} queries only"
            lines.append(f"{name:<17}{values}{note}")
    return lines
