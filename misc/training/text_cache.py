"""States of a pretrained text encoder, computed once for the captions of a run and kept on disk."""

import contextlib
import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from misc.runtime.distributed import gather_objects, is_main, main_first, own_share
from misc.runtime.failures import Failure
from misc.runtime.files import replacing
from misc.runtime.locks import locked
from misc.words.pretrained_encoder import PretrainedEncoder
from misc.words.token_vectors import TextVectors

PART = 4096  # texts in a file
BATCH = 512  # texts between two updates of the progress bar

logger = logging.getLogger(__name__)


class TextCache:
    """Vectors of the tokens of many texts, float16, memory-mapped; those of others are computed.

    Args:
        encoder: whose states they are.
        folder: with files of the states of ``PART`` texts each, (tokens, W), and with their
            numbers of tokens, the words that are unknown, and how many texts were cut.
        texts: all of them, in the order of the files.
    """

    def __init__(self, encoder: PretrainedEncoder, folder: Path, texts: Sequence[str]) -> None:
        self.encoder = encoder
        self.folder = folder
        self.texts = texts
        self.dimension = encoder.dimension
        self.parts: list[np.ndarray] = []
        self.places: dict[str, tuple[int, int, int, list[str]]] = {}  # part, start, end, unknown
        self.cut = 0  # texts that were too long
        for number, part in enumerate(_parts(texts)):
            states, about = _files(folder, number)
            said = json.loads(about.read_text(encoding="utf-8"))
            # Numpy maps no empty file.
            self.parts.append(np.load(states, mmap_mode="r" if any(said["lengths"]) else None))
            ends = np.cumsum(said["lengths"]).tolist()
            for place, (text, length) in enumerate(zip(part, said["lengths"], strict=True)):
                if length:  # else it has no word, as the encoder will say again
                    unknown = said["unknown"].get(str(place), [])
                    self.places[text] = number, ends[place] - length, ends[place], unknown
            self.cut += said["cut"]

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Send the folder to a process that is spawned, not the states: it maps them anew."""
        return TextCache, (self.encoder, self.folder, self.texts)

    def fingerprint(self) -> str:
        """Compute that of the encoder."""
        return self.encoder.fingerprint()

    def vectors_of(
        self, texts: Sequence[str], first_sentence: bool = False
    ) -> list[TextVectors | Failure]:
        """Read the vectors of texts, or compute them; see ``TokenVectors``."""
        known = {} if first_sentence else self.places
        others = [place for place, text in enumerate(texts) if text not in known]
        computed = self.encoder.vectors_of([texts[place] for place in others], first_sentence)
        found = dict(zip(others, computed, strict=True))
        return [
            self._read(text) if place not in found else _at(place, found[place])
            for place, text in enumerate(texts)
        ]

    def _read(self, text: str) -> TextVectors:
        part, start, end, unknown = self.places[text]
        return TextVectors(
            torch.from_numpy(self.parts[part][start:end].astype(np.float32)), unknown
        )


def _at(place: int, item: TextVectors | Failure) -> TextVectors | Failure:
    return dataclasses.replace(item, index=place) if isinstance(item, Failure) else item


def cached_texts(encoder: PretrainedEncoder, texts: Sequence[str], folder: Path) -> TextCache:
    """Open the states of texts; compute them if need be.

    All processes share the work, and what was computed before the program was stopped or killed is
    not computed again.

    Args:
        encoder: computes them.
        texts: in any order; one may be there several times.
        folder: of all caches; each has a name of its own that changes with the encoder and texts.

    Raises:
        FullDiskError: if the disk has no space for them.
    """
    texts = sorted(set(texts), key=lambda text: (len(text), text))  # those of a part are alike
    described = json.dumps([encoder.fingerprint(), PART, texts])
    folder = folder / hashlib.sha256(described.encode()).hexdigest()[:20]
    alone = locked(folder, wait=True) if is_main() else contextlib.nullcontext()
    with alone:
        _compute(encoder, _parts(texts), folder)
    cache = TextCache(encoder, folder, texts)
    if cache.cut and is_main():
        logger.warning("%d captions are too long for the text encoder: ends are cut off", cache.cut)
    return cache


def _parts(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + PART] for start in range(0, len(texts), PART)]


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    """Name the files of a part: its states, and what is said about them, which comes last."""
    return folder / f"states{number:04}.npy", folder / f"texts{number:04}.json"


def _compute(encoder: PretrainedEncoder, parts: Sequence[Sequence[str]], folder: Path) -> None:
    with main_first():  # who may have waited for another program
        share = own_share(len(parts), 1)
        own = [number for number in share if not _files(folder, number)[1].exists()]
    if own:
        logger.info("states of texts are kept in %s", folder)
    total = sum(len(parts[number]) for number in own)
    with tqdm(total=total, unit="text", desc="text states", disable=None) as bar:
        for number in own:
            found: list[TextVectors | Failure] = []
            for start in range(0, len(parts[number]), BATCH):
                found += encoder.vectors_of(parts[number][start : start + BATCH])
                bar.update(len(found) - start)
            _write(found, encoder.dimension, *_files(folder, number))
    gather_objects(None)  # all of them are there


def _write(
    found: Sequence[TextVectors | Failure], dimension: int, states: Path, about: Path
) -> None:
    """Write the files of a part; a text without a word has the length 0."""
    none = TextVectors(torch.empty(0, dimension))
    texts = [none if isinstance(item, Failure) else item for item in found]
    rows = torch.cat([text.vectors for text in texts]).clamp(-65504, 65504).half().cpu().numpy()
    with replacing(states, rows.nbytes) as temporary, temporary.open("wb") as file:
        np.save(file, rows, allow_pickle=False)
    said = {
        "lengths": [len(text.vectors) for text in texts],
        "unknown": {place: text.unknown for place, text in enumerate(texts) if text.unknown},
        "cut": sum(text.cut for text in texts),
    }
    with replacing(about) as temporary:
        temporary.write_text(json.dumps(said), encoding="utf-8")
