"""Tokenising captions and looking up their words.

python -m benchmarks.tokenizing --captions captions.txt
python -m benchmarks.tokenizing --quick
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, memories, report
from misc.cli import run


def ours(texts: Sequence[str], checked: int) -> Work:
    import numpy as np

    words = inputs.word_vectors(texts, dimension=1)

    def work():
        found = words.vectors_of(texts)
        return np.concatenate([text.vectors[:, 0] for text in found[:checked]])

    return work


def naive(texts: Sequence[str], checked: int, folder: Path) -> Work:

    from benchmarks.naive import Tokenizer

    words = inputs.word_vectors(texts, dimension=1)
    tokenizer, index, table = Tokenizer(folder), words.index, words.table[:, 0]

    def work():
        rows = [index[word] for text in texts[:checked] for word in tokenizer(text)]
        return table[rows]

    return work


def main(args: argparse.Namespace) -> None:
    checked, count = (5, 500) if args.quick else (40, 5000)
    texts = inputs.captions(count, args.captions)
    with inputs.folder() as folder:
        settings = {"texts": texts, "checked": checked}
        sides = {"ours": Side(ours, settings), "naive": Side(naive, {**settings, "folder": folder})}
        figures = measure(sides, rounds=5, agree=agreement.close(0))
    rates = count / figures.seconds["ours"], checked / figures.seconds["naive"]
    report(
        [Row("tokenising captions", "captions/s", *rates, **memories(figures), min_ratio=100)], args
    )


if __name__ == "__main__":
    run(main, get_parser(__doc__, captions=True))
