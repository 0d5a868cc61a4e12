"""Make word vectors of other tools ours: dictionary.txt and utable.npy.

python -m misc.words convert glove.6B.300d.txt data/word_vectors
python -m misc.words convert GoogleNews-vectors-negative300.bin.gz data/word_vectors
"""

import argparse
from pathlib import Path

from misc.cli import run
from misc.cli.options import script_parser
from misc.words.conversion import convert
from misc.words.word_vectors import WordVectors


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.words")
    commands = parser.add_subparsers(required=True, metavar="convert")
    command = commands.add_parser("convert", help="make dictionary.txt and utable.npy of a file")
    command.add_argument("file", type=Path, help="GloVe, word2vec or fastText, text or binary")
    command.add_argument("folder", type=Path, help="where to, such as data/word_vectors")
    command.add_argument("--force", action="store_true", help="overwrite what is there")
    return parser


def main(args: argparse.Namespace) -> WordVectors:
    """Convert, and return the result."""
    return convert(args.file, args.folder, args.force)


if __name__ == "__main__":
    run(main, get_parser())
