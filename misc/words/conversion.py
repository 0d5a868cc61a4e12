"""Word vectors of GloVe, word2vec and fastText, turned into dictionary.txt and utable.npy."""

import logging
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from misc.runtime.files import replacing
from misc.words.word_vectors import UNKNOWN, WordVectors

FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")  # how fastText's binary files begin

logger = logging.getLogger(__name__)


def read_vectors(file: Path) -> tuple[list[str], np.ndarray]:
    """Read words and vectors (N, W): GloVe text, word2vec or fastText text or binary.

    The file may be compressed (``.gz``, ``.bz2``).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no word vectors at {file}")
    try:
        words, table = _read_any(str(file))
    except (ValueError, EOFError, LookupError, struct.error) as error:
        raise ValueError(
            f"{file} cannot be read as word vectors of GloVe, word2vec or fastText: {error}"
        ) from error
    if not np.isfinite(table).all():
        raise ValueError(f"{file} holds word vectors that are NaN or infinite")
    return words, table.astype(np.float32, copy=False)


def _read_any(file: str) -> tuple[list[str], np.ndarray]:
    import gensim.models  # a second's work, which nothing but this needs
    import gensim.models.fasttext
    import gensim.utils

    with gensim.utils.open(file, "rb") as opened:
        start = opened.read(1 << 16)
        opened.seek(0)
        header, _, rest = start.partition(b"\n")
        if start.startswith(FASTTEXT_MAGIC):
            vectors = gensim.models.fasttext.load_facebook_vectors(file)
        elif len(header.split()) == 2:
            vectors = gensim.models.KeyedVectors.load_word2vec_format(
                file, binary=not _is_text(rest)
            )
        else:
            return _read_glove(opened)
    return vectors.index_to_key, vectors.vectors


def _read_glove(lines: Iterable[bytes]) -> tuple[list[str], np.ndarray]:
    """Read lines of a word and its numbers; the largest GloVe has spaces in some words."""
    words: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines, start=1):
        fields = line.decode("utf-8").rstrip().split(" ")
        dimension = len(rows[0]) if rows else len(fields) - 1
        if not 0 < dimension < len(fields):
            raise ValueError(f"line {number} is not a word and its numbers")
        words.append(" ".join(fields[:-dimension]))
        rows.append(np.array(list(map(float, fields[-dimension:])), np.float32))
    if not rows:
        raise ValueError("it is empty")
    return words, np.stack(rows)


def _is_text(start: bytes) -> bool:
    """Tell whether the first vector is written in digits."""
    numbers = start.split(b"\n")[0].split()[1:]
    try:
        return bool([float(number) for number in numbers])
    except ValueError:
        return False


def convert(file: Path, folder: Path, force: bool = False) -> WordVectors:
    """Write the pair of files that ``WordVectors.load`` opens, and open it.

    Where there is no word ``UNK``, its row becomes the mean of all.

    Raises:
        FileExistsError: if there is such a pair and ``force`` is False.
        ValueError: if the file holds no word vectors, or some that are not finite.
    """
    table_file, dictionary = folder / "utable.npy", folder / "dictionary.txt"
    for written in (table_file, dictionary):
        if written.exists() and not force:
            raise FileExistsError(f"{written} exists; --force overwrites it")
    words, table = read_vectors(file)
    kept = [row for row, word in enumerate(words) if not {"\n", "\r"} & set(word)]
    if len(kept) < len(words):
        logger.warning("%d words with line breaks are left out", len(words) - len(kept))
        words, table = [words[row] for row in kept], table[kept]
    if UNKNOWN not in words:
        words.append(UNKNOWN)
        table = np.vstack([table, table.mean(axis=0, dtype=np.float64).astype(np.float32)])
    with replacing(table_file) as temporary, temporary.open("wb") as opened:
        np.save(opened, table, allow_pickle=False)
    with replacing(dictionary) as temporary:
        temporary.write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
    logger.info("%d words of %d dimensions are in %s", *table.shape, folder)
    return WordVectors.load(folder)
