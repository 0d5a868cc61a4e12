"""Captions to tokens to word vectors."""

import functools
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from misc.runtime.failures import Failure, read_item
from misc.words.token_vectors import TextVectors
from misc.words.tokens import tokenize

UNKNOWN = "UNK"
SAMPLED_ROWS = 256  # of a table, in its fingerprint

logger = logging.getLogger(__name__)


class WordVectors:
    """A dictionary and its table of frozen word vectors, memory-mapped.

    Args:
        words: the dictionary; word i belongs to row i.
        table: (len(words), W) vectors.
        folder: where they come from, for messages.

    Raises:
        ValueError: if words and rows differ in number, or ``UNK`` is missing.
    """

    def __init__(self, words: Sequence[str], table: np.ndarray, folder: Path | str = "") -> None:
        if table.ndim != 2 or len(words) != len(table):
            raise ValueError(
                f"{folder}: dictionary.txt has {len(words)} words, but utable.npy has the shape "
                f"{table.shape}; each word needs one row"
            )
        self.index = {word: row for row, word in enumerate(words)}
        if UNKNOWN not in self.index:
            raise ValueError(
                f"{folder}: none of the {len(words)} words in dictionary.txt is {UNKNOWN!r}, which "
                f"stands for all words that the {len(table)} rows of the table do not know"
            )
        if len(self.index) < len(words):
            repeated = len(words) - len(self.index)
            logger.warning("%s: %d words are there twice; the last counts", folder, repeated)
        self.table = table
        self.folder = folder
        self.unknown = self.index[UNKNOWN]
        self.lower_case = all(word == word.lower() for word in self.index if word != UNKNOWN)

    @classmethod
    def load(cls, folder: Path | str) -> "WordVectors":
        """Open ``dictionary.txt`` (a word a line) and ``utable.npy`` (float rows) of a folder.

        Raises:
            FileNotFoundError: if one of them is missing.
            ValueError: if they do not belong together or are not what they should be.
        """
        folder = Path(folder)
        dictionary, table = folder / "dictionary.txt", folder / "utable.npy"
        for file in (dictionary, table):
            if not file.is_file():
                raise FileNotFoundError(
                    f"no word vectors: {file} is missing; data/README.md says where to get them, "
                    "--word-vectors names another folder"
                )
        try:
            vectors = np.load(table, mmap_mode="r", allow_pickle=False)
            words = dictionary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (ValueError, EOFError) as error:
            raise ValueError(f"cannot read the word vectors in {folder}: {error}") from error
        return cls(words, vectors, folder)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Send the folder to a process that is spawned, not gigabytes: it maps the table anew."""
        if isinstance(self.table, np.memmap) and self.folder:
            return WordVectors.load, (self.folder,)
        return WordVectors, (list(self.index), np.asarray(self.table), self.folder)

    @property
    def dimension(self) -> int:
        """W, the dimension of the vectors."""
        return int(self.table.shape[1])

    def fingerprint(self) -> str:
        """Compute a SHA-256 that tells whether word vectors are those a model was trained with.

        Of the dictionary, the table's type, and ``SAMPLED_ROWS`` rows evenly spread:
        the whole of a large table would take a minute to read.
        """
        places = np.linspace(0, len(self.table) - 1, SAMPLED_ROWS).astype(int)
        digest = hashlib.sha256("\n".join(self.index).encode())
        digest.update(self.table.dtype.str.encode())
        digest.update(np.ascontiguousarray(self.table[places]).tobytes())
        return digest.hexdigest()

    def vectors_of(
        self, texts: Sequence[str], first_sentence: bool = False
    ) -> list[TextVectors | Failure]:
        """Look up the words of texts; see ``TokenVectors``."""
        return [
            read_item(place, "", functools.partial(self._vectors_of, text, first_sentence))
            for place, text in enumerate(texts)
        ]

    def _vectors_of(self, text: str, first_sentence: bool) -> TextVectors:
        tokens = tokenize(text, first_sentence)
        if not tokens:
            raise ValueError(f"a text needs at least one word, and {text!r} has none")
        rows = [self._row(token) for token in tokens]
        unknown = [token for token, row in zip(tokens, rows, strict=True) if row == self.unknown]
        return TextVectors(torch.from_numpy(self.table[rows].astype(np.float32)), unknown)

    def _row(self, token: str) -> int:
        """Find a token's row: exact, else lower case where the table has no other words."""
        row = self.index.get(token)
        if row is None and self.lower_case:
            row = self.index.get(token.lower())
        return self.unknown if row is None else row
