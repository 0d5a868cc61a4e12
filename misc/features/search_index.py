"""A FAISS index of embeddings: faster than exact search where there are millions of rows.

It is two files, that of FAISS, which is mapped into memory, and a JSON file beside it with the
names of the rows and with what the index was made of.
"""

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import torch
from torch import Tensor

from misc.features.search import BLOCK, check_dimension, load_gallery, nearest
from misc.runtime.files import replacing

FEW, MANY = 10_000, 1_000_000  # rows from which lists pay off; and those from which size matters
TRAINING_ROWS, ITERATIONS = 64, 10  # for each list; of finding the lists' centres
QUERIES, TOP = 200, 10  # of the measurement of recall, with rows that took no part in training
TARGET = 0.97  # recall for which enough lists are searched
MARGIN = 4  # times as many: texts among images, and images among texts, need more than rows do

logger = logging.getLogger(__name__)


def index_kind(count: int) -> str:
    """Choose FAISS's description of an index by the number of rows.

    Few rows are compared one by one. More are sorted into lists around as many centres as the
    root of their number, and only the lists next to a query are searched; numbers have 16 bits,
    or 8 where there are very many.
    """
    if count < FEW:
        return "Flat"
    return f"IVF{math.isqrt(count)},{'SQfp16' if count < MANY else 'SQ8'}"


def fingerprint(names: Sequence[str], embeddings: Tensor) -> str:
    """Hash all names and rows (N, D)."""
    digest = hashlib.sha256(json.dumps(list(names)).encode())
    for block in embeddings.split(BLOCK):
        digest.update(block.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class SearchIndex:
    """An index with the names of its rows; ``build`` or ``load`` makes one."""

    faiss_index: faiss.Index
    names: list[str]
    kind: str
    recall: float  # share of the TOP exact neighbours that it finds, 0 to 1
    fingerprint: str

    @property
    def dimension(self) -> int:
        """D of the rows."""
        return self.faiss_index.d

    @classmethod
    def build(cls, names: Sequence[str], embeddings: Tensor) -> "SearchIndex":
        """Index unit rows (N, D), searching as many lists as it takes to reach ``TARGET``."""
        kind = index_kind(len(names))
        index: Any = faiss.index_factory(embeddings.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))
        held, others = order[:QUERIES], order[QUERIES:]
        if kind != "Flat":
            index.cp.niter = ITERATIONS
            index.train(embeddings[others[: TRAINING_ROWS * index.nlist]].float().numpy())
        for start in range(0, len(names), BLOCK):
            index.add(embeddings[start : start + BLOCK].float().numpy())
        recall = 1.0 if kind == "Flat" else _tune(index, embeddings, held)
        logger.info("index %s: recall@%d %.3f against exact search", kind, TOP, recall)
        return cls(index, list(names), kind, recall, fingerprint(names, embeddings))

    def save(self, path: Path) -> None:
        """Write the index and, last, the JSON file without which it cannot be loaded."""
        description = {
            "kind": self.kind,
            "count": len(self.names),
            "dimension": self.dimension,
            f"recall@{TOP}": self.recall,
            "fingerprint": self.fingerprint,
            "names": self.names,
        }
        with replacing(_description_file(path)) as temporary:
            temporary.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
            with replacing(path) as index:
                faiss.write_index(self.faiss_index, str(index))
                # Only now, so that on a full disk an older index stays whole.
                _description_file(path).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "SearchIndex":
        """Map an index into memory.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if it, or the JSON file beside it, is broken or missing.
        """
        if not path.exists():
            raise FileNotFoundError(f"no index at {path}; -f FEATURES builds it")
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            description = json.loads(_description_file(path).read_text(encoding="utf-8"))
            kept = [description[key] for key in ("names", "kind", f"recall@{TOP}", "fingerprint")]
        except (OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{path} is no index that was written whole ({error}); delete it, or name another"
            ) from error
        if len(kept[0]) != index.ntotal:
            raise ValueError(
                f"{path} has {index.ntotal} rows, but {_description_file(path)} names "
                f"{len(kept[0])}; delete both"
            )
        return cls(index, *kept)

    def search(self, queries: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """Find near rows, as ``search.nearest`` does, but maybe not quite the nearest.

        A query for which the lists that are searched have too few rows looks into all of them.

        Returns:
            Scores (Q, top) and rows (Q, top) on the CPU.
        """
        top = min(top, len(self.names))
        scores, rows = _search(self.faiss_index, queries, top)
        few = (rows < 0).any(dim=1)
        if few.any():
            scores[few], rows[few] = _search_all_lists(self.faiss_index, queries[few], top)
        return scores, rows


def _description_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _search(index: faiss.Index, queries: Tensor, top: int) -> tuple[Tensor, Tensor]:
    scores, rows = index.search(queries.cpu().float().numpy(), top)
    return torch.from_numpy(scores), torch.from_numpy(rows)


def _search_all_lists(index: Any, queries: Tensor, top: int) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    usual, index.nprobe = index.nprobe, index.nlist
    try:
        return _search(index, queries, top)
    finally:
        index.nprobe = usual


def _measure_recall(index: faiss.Index, embeddings: Tensor, held: Tensor) -> float:
    """Compute which share of the exact neighbours of some rows an index finds, 0 to 1.

    A row counts as found if it is as near as the last of the exact neighbours, whichever of
    equal ones it is; no row is a neighbour of its own.

    Args:
        index: with all rows.
        embeddings: (N, D), N above ``TOP``.
        held: (Q,), rows that are the queries.
    """
    queries = embeddings[held].float()
    farthest = nearest(queries, embeddings, TOP + 1)[0][:, -1:]  # (Q, 1); one is the query itself
    _, found = _search(index, queries, TOP + 1)
    scores = torch.einsum("qd,qtd->qt", queries, embeddings[found].float())
    hits = (scores >= farthest - 1e-6) & (found != held[:, None]) & (found >= 0)
    return hits.sum(dim=1).clamp(max=TOP).float().mean().item() / TOP


def _tune(index: faiss.IndexIVF, embeddings: Tensor, held: Tensor) -> float:
    """Have enough lists searched for a recall of ``TARGET``, and more; return the recall."""
    index.nprobe = 1
    while _measure_recall(index, embeddings, held) < TARGET and index.nprobe < index.nlist:
        index.nprobe = min(2 * index.nprobe, index.nlist)
    index.nprobe = min(MARGIN * index.nprobe, index.nlist)
    logger.info("%d of %d lists are searched", index.nprobe, index.nlist)
    return _measure_recall(index, embeddings, held)


def open_index(path: Path, features: Path | None, dimension: int) -> SearchIndex:
    """Load an index; with features, check that it was made of them, or build and save it.

    Args:
        path: the index.
        features: a file or a folder of embeddings; ``None`` takes the index as it is.
        dimension: D of the model that embeds the queries.

    Raises:
        FileNotFoundError: if there are neither an index nor features.
        ValueError: if the index is broken or stale, the dimension is another, or the name is one
            that FAISS cannot open.
    """
    if any("\ud800" <= character <= "\udfff" for character in str(path.resolve())):
        raise ValueError(f"{path.resolve()}: FAISS opens names in UTF-8 only; name another file")
    if features is None:
        index = SearchIndex.load(path)
        check_dimension(path, index.dimension, dimension)
        return index
    names, embeddings = load_gallery(features, dimension)
    if not path.exists():
        index = SearchIndex.build(names, embeddings)
        index.save(path)
        return index
    index = SearchIndex.load(path)
    if fingerprint(names, embeddings) != index.fingerprint:
        raise ValueError(
            f"{path} is stale: it was made of {len(index.names)} other rows of {index.dimension} "
            f"dimensions, and {features} has {len(names)} rows of {embeddings.shape[1]}; delete "
            "the index to have it built anew"
        )
    return index
