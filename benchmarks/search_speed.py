"""How long search takes in 200,000 rows of 2,400 dimensions, exact and with a FAISS index.

    python -m benchmarks.search_speed

Exact search is in random unit rows. The index is of clustered ones, since in random ones no row is
near another: 2,000 random directions, and around each rows whose noise is as long as the direction
itself, so that rows of a cluster have a similarity of about 0.5. Recall is that of fresh draws from
the same clusters. About 6 GB of memory.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from misc.cli.scripts import configure_logging
from misc.features.search import nearest
from misc.features.search_index import SearchIndex

DIMENSION, CLUSTERS, QUERIES, TOP = 2400, 2000, 100, 10
PART = 10_000  # rows that are drawn at once


def draw(count: int, centres: torch.Tensor | None = None) -> torch.Tensor:
    """Draw random unit rows (N, D), around the centres if there are any."""
    rows = torch.empty(count, DIMENSION)
    for part in rows.split(PART):
        part.normal_()
        if centres is not None:
            part += centres[torch.randint(len(centres), (len(part),))]
        F.normalize(part, dim=1, out=part)
    return rows


def seconds_each(search, queries) -> list[float]:
    """Search for one query after the other: the seconds that each took, in order."""
    seconds = []
    for query in queries:
        start = time.perf_counter()
        search(query[None], TOP)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


def report(what: str, seconds: list[float]) -> None:
    median, slowest = seconds[len(seconds) // 2], seconds[-1]
    print(f"{what}: {1000 * median:.1f} ms a query (median), {1000 * slowest:.1f} ms the slowest")


def measure_exact(what: str, rows: torch.Tensor, queries: torch.Tensor) -> None:
    report(f"exact, {what}", seconds_each(lambda query, top: nearest(query, rows, top), queries))


def measure_index(count: int) -> None:
    centres = torch.randn(CLUSTERS, DIMENSION)
    rows, queries = draw(count, centres), draw(QUERIES, centres)
    measure_exact("clustered rows", rows, queries[:20])
    start = time.perf_counter()
    built = SearchIndex.build([str(row) for row in range(count)], rows)
    print(f"index {built.kind}: built in {time.perf_counter() - start:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        built.save(path)
        del built
        start = time.perf_counter()
        index = SearchIndex.load(path)
        print(f"{path.stat().st_size / 1e9:.2f} GB, opened in {time.perf_counter() - start:.2f} s")
        report("index, from its file", seconds_each(index.search, queries))
        found, exact = index.search(queries, TOP)[1], nearest(queries, rows, TOP)[1]
    hits = (found[:, :, None] == exact[:, None]).any(dim=2)
    print(
        f"recall@{TOP} of {QUERIES} fresh queries against exact search: {hits.float().mean():.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="default: %(default)s")
    args = parser.parse_args()
    configure_logging()
    torch.manual_seed(0)
    print(f"{args.rows} rows of {DIMENSION} dimensions, {torch.get_num_threads()} threads")
    measure_exact("random rows", draw(args.rows), draw(20))
    measure_index(args.rows)


if __name__ == "__main__":
    main()
