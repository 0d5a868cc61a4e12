"""Exact search in rows of embeddings."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from misc.features.reading import load_embeddings

NEIGHBOURS = 10  # of a row, that tell whether it is a hub
BLOCK = 8192  # rows that are compared at once


@dataclasses.dataclass(frozen=True)
class Found:
    """One row that a query found."""

    name: str
    score: float  # -1 to 1


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a query found, the best first."""

    query: str  # a text, or the path of an image
    found: list[Found]


def name_answers(
    queries: Sequence[str], names: Sequence[str], scores: Tensor, rows: Tensor
) -> list[Answer]:
    """Put names to the scores (Q, top) and rows (Q, top) of a search; rows of -1 are left out."""
    ranked = zip(queries, scores.tolist(), rows.tolist(), strict=True)
    return [
        Answer(
            query, [Found(names[row], score) for score, row in zip(*both, strict=True) if row >= 0]
        )
        for query, *both in ranked
    ]


def load_gallery(path: Path, dimension: int) -> tuple[list[str], Tensor]:
    """Read the features to be searched: names and rows (N, D).

    Args:
        path: a file or a folder of embeddings, see ``misc.features.reading``.
        dimension: D of the model that embeds the queries.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no file of embeddings, has no row, or rows of another dimension.
    """
    names, embeddings = load_embeddings(path)
    if not names:
        raise ValueError(f"{path} has no embeddings to search")
    check_dimension(path, embeddings.shape[1], dimension)
    return names, embeddings


def check_dimension(path: Path, found: int, dimension: int) -> None:
    """Make sure that what is to be searched can come from the model of the queries.

    Raises:
        ValueError: if its dimension is another.
    """
    if found != dimension:
        raise ValueError(
            f"{path} has embeddings of {found} dimensions, and those of the model have "
            f"{dimension}; extract the features with the model that -p names"
        )


def hubness(items: Tensor, reference: Tensor) -> Tensor:
    """Say how similar items (M, D) are to what queries are like, whatever the query: (M,).

    The mean similarity of an item to those of reference (R, D), of the queries' kind, that are
    nearest to it. Hubs, which are near to everything, are found for too many queries; half of this
    is taken from their similarities (CSLS; Conneau et al., 2018, Section 2.3, where the items of
    the test itself are the reference).
    """
    reference, neighbours = reference.to(items), min(NEIGHBOURS, len(reference))
    nearest = [(chunk @ reference.T).topk(neighbours, dim=1).values for chunk in items.split(BLOCK)]
    return torch.cat(nearest).mean(dim=1)


def _compare(queries: Tensor, rows: Tensor, reference: Tensor | None, texts: int) -> Tensor:
    """Score rows for queries (Q, rows); arguments as for ``nearest``."""
    scores = queries @ rows.T
    if reference is not None:
        for kind, asked in zip(reference, (scores[texts:], scores[:texts]), strict=True):
            if len(asked):
                asked -= hubness(rows, kind) / 2
    return scores


def nearest(
    queries: Tensor, embeddings: Tensor, top: int, reference: Tensor | None = None, texts: int = 0
) -> tuple[Tensor, Tensor]:
    """Find the rows with the largest inner products, block by block, each exactly.

    Memory does not grow with N, so ``embeddings`` may be mapped from a file.

    Args:
        queries: (Q, D), on the device that is to compute.
        embeddings: (N, D), of any floating type, on any device.
        top: how many rows a query finds; all N if there are fewer.
        reference: (2, R, D), images and captions by which hubs are told: half of the ``hubness``
            of rows is taken from their scores. ``None`` compares alone.
        texts: how many of the queries are texts, the first; the others are images.

    Returns:
        Scores (Q, top), the highest first, and rows (Q, top); of equal scores the lower row.

    Raises:
        ValueError: if the dimensions differ.
    """
    if queries.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"queries of {queries.shape[1]} dimensions, but embeddings of {embeddings.shape[1]}"
        )
    scores = queries.new_empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(embeddings), BLOCK):
        block = embeddings[start : start + BLOCK].to(queries)
        places = torch.arange(start, start + len(block), device=queries.device)
        scores = torch.cat([scores, _compare(queries, block, reference, texts)], dim=1)
        rows = torch.cat([rows, places.expand(len(queries), -1)], dim=1)
        # Not topk, which takes any of equal scores: what was found before is in lower rows.
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        scores, rows = scores[:, :top], rows.gather(1, order[:, :top])
    return scores, rows
