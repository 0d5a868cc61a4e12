"""Word vectors of GloVe, word2vec and fastText, turned into dictionary.txt and utable.npy."""

import codecs
import collections
import functools
import logging
import re
from collections.abc import Iterable, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path

import numpy as np

from misc.runtime.failures import Failure, read_item, tell
from misc.runtime.files import replacing
from misc.words.word_vectors import UNKNOWN, WordVectors

SAMPLED_LINES = 1000  # by which the number of numbers in a line is found
FIELDS = re.compile("[ \t]+")
FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")  # how fastText's binary files begin

logger = logging.getLogger(__name__)


def read_vectors(file: Path) -> tuple[list[str], np.ndarray]:
    """Read words and vectors (N, W): GloVe text, word2vec or fastText text or binary.

    The file may be compressed (``.gz``, ``.bz2``). A line that is not a word and its numbers, and a
    word that was there before, are left out, with a warning that names the line.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is none of these, is cut off, or holds numbers that are not finite.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no word vectors at {file}")
    # Whatever gensim or a decompressor raises of bytes that mean nothing to it.
    read = read_item(0, str(file), functools.partial(_read_any, str(file)))
    if isinstance(read, Failure):
        raise ValueError(
            f"{file} cannot be read as word vectors of GloVe, word2vec or fastText: {read.reason}"
        )
    words, table = read
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
        header, _, rest = start.removeprefix(codecs.BOM_UTF8).partition(b"\n")
        if start.startswith(FASTTEXT_MAGIC):
            vectors = gensim.models.fasttext.load_facebook_vectors(file)
        elif len(header.split()) == 2 and not _is_text(rest):
            vectors = gensim.models.KeyedVectors.load_word2vec_format(file, binary=True)
            repeated = int(header.split()[0]) - len(vectors.index_to_key)
            if repeated:
                logger.warning("%d words that were there before are left out", repeated)
        else:
            return _read_text(opened)
    return vectors.index_to_key, vectors.vectors


def _read_text(lines: Iterable[bytes]) -> tuple[list[str], np.ndarray]:
    """Read lines of a word and its numbers; the first may say how many there are, and of what."""
    numbered = iter(enumerate(lines, start=1))
    first = [
        (number, line.removeprefix(codecs.BOM_UTF8)) for number, line in [*islice(numbered, 1)]
    ]
    stated = first[0][1].split() if first else []
    sizes = [int(field) for field in stated] if len(stated) == 2 else []
    first += islice(numbered, SAMPLED_LINES)
    dimension = sizes[1] if sizes else _dimension(line for _, line in first)
    found: dict[str, np.ndarray] = {}
    failures: list[Failure] = []
    count = 0
    for number, line in chain(first[1:] if sizes else first, numbered):
        count += 1
        item = read_item(number, f"line {number}", functools.partial(_word, line, dimension))
        if not isinstance(item, Failure) and item[0] in found:
            item = Failure(number, item[0], f"line {number}: {item[0]!r} was there before")
        if isinstance(item, Failure):
            failures.append(item)
        else:
            found[item[0]] = item[1]
    _check_count(count, len(found), failures, *sizes[:1])
    tell(failures, logger)
    return list(found), np.stack(list(found.values()))


def _check_count(count: int, used: int, failures: Sequence[Failure], stated: int = 0) -> None:
    """Refuse a file of which little can be read, or that ends before its header says."""
    if not used or used <= len(failures):
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{used} of {count} lines are a word and its numbers{reason}")
    if count < stated:
        raise ValueError(f"it is cut off: its first line says {stated} words, and it has {count}")
    if stated and count > stated:
        logger.warning("the first line says %d words, and there are %d", stated, count)


def _word(line: bytes, dimension: int) -> tuple[str, np.ndarray]:
    """Take a line apart; the largest GloVe has spaces in some words."""
    fields = FIELDS.split(line.decode("utf-8").rstrip())
    name, numbers = fields[:-dimension], fields[-dimension:]
    if not name or (len(name) > 1 and _is_number(name[-1])):
        raise ValueError(f"{len(fields)} fields are not a word and {dimension} numbers")
    vector = np.array(list(map(float, numbers)), np.float32)
    if not np.isfinite(vector).all():
        raise ValueError(f"the vector of {name[0]!r} is NaN or infinite")
    return " ".join(name), vector


def _dimension(lines: Iterable[bytes]) -> int:
    """Find how many numbers most lines end with."""
    counts: collections.Counter[int] = collections.Counter()
    for line in lines:
        fields = FIELDS.split(line.decode("utf-8", errors="replace").rstrip())[1:]
        counts[sum(1 for _ in takewhile(_is_number, reversed(fields)))] += 1
    dimension = counts.most_common(1)[0][0] if counts else 0
    if not dimension:
        raise ValueError("its lines are not words and their numbers")
    return dimension


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_text(start: bytes) -> bool:
    """Tell whether the first vector is written in digits."""
    numbers = start.split(b"\n")[0].split()[1:]
    return bool(numbers) and all(_is_number(number.decode("latin-1")) for number in numbers)


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
