"""Opening 930,911 word vectors of 620 dimensions, as many as Skip-Thought's table has.

    python -m benchmarks.word_vectors
    python -m benchmarks.word_vectors --quick

The limit is 50 ms above the time of reading the dictionary alone, measured in turn with the rest.
The files are in the system's cache for all; nothing comes from the disk.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, memories, report
from misc.cli import run

DIMENSION = 620
LOOKED_UP = (5, 77, -1)


def make_file(folder: Path, count: int) -> None:
    import numpy as np

    words = ["UNK", *map(inputs.word, range(1, count))]
    words[1::2] = map(str.capitalize, words[1::2])  # Skip-Thought's words have their case
    (folder / "dictionary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    shape = count, DIMENSION
    table = np.lib.format.open_memmap(folder / "utable.npy", "w+", np.float32, shape)
    block = np.random.default_rng(0).standard_normal((10_000, DIMENSION)).astype(np.float32)
    for start in range(0, count, len(block)):
        table[start : start + len(block)] = block[: count - start]
    table.flush()


def ours(folder: Path) -> Work:
    from misc.words.word_vectors import WordVectors

    return lambda: WordVectors.load(folder).table[list(LOOKED_UP)]


def naive(folder: Path) -> Work:
    from benchmarks.naive import load_word_vectors

    return lambda: load_word_vectors(folder)[1][list(LOOKED_UP)]


def dictionary(folder: Path) -> Work:
    """Read the words only, which both must."""

    def work():
        words = (folder / "dictionary.txt").read_text(encoding="utf-8").splitlines()
        return {word: row for row, word in enumerate(words)}["UNK"]

    return work


def main(args: argparse.Namespace) -> None:
    count = 20_000 if args.quick else 930_911
    with inputs.folder() as folder:
        make_file(folder, count)
        sides = {
            name.__name__: Side(name, {"folder": folder}) for name in (ours, naive, dictionary)
        }
        figures = measure(sides, rounds=7, agree=agreement.close(0))
    limits: dict[str, Any] = {
        "max_ours": round(figures.seconds["dictionary"] + 0.05, 3),
        "max_extra": 0.2,
    }
    ours_took, naive_took = figures.seconds["ours"], figures.seconds["naive"]
    work = f"opening {count:,} word vectors"
    report([Row(work, "s", ours_took, naive_took, **memories(figures), **limits)], args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
