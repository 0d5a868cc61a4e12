"""Reader of Flickr8k and Flickr30k as they are given out: a file of captions, lists of splits.

``Flickr8k.token.txt`` and ``results_20130124.token`` are the authors' files, ``captions.txt`` and
``results.csv`` those of Kaggle. None says which split an image is in; that is what lists are for,
one for each split, and without them nothing is read.
"""

import functools
import logging
import operator
import os
from collections.abc import Collection
from pathlib import Path

from misc.data.caption_rows import Row
from misc.data.caption_tables import file_rows
from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.entries import leave_out, read_entries
from misc.data.paths import DataPaths
from misc.data.photographs import photograph_id
from misc.runtime.failures import Failure

CAPTIONS = ("Flickr8k.token.txt", "results_20130124.token", "captions.txt", "results.csv")
LISTS = {
    "train": ("Flickr_8k.trainImages.txt", "train.txt"),
    "val": ("Flickr_8k.devImages.txt", "val.txt"),
    "test": ("Flickr_8k.testImages.txt", "test.txt"),
}
SOURCES = {
    "flickr8k": "Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt and Flickr_8k.testImages.txt "
    "do, which are in Flickr8k_text.zip",
    "flickr30k": "train.txt, val.txt and test.txt of Flickr30k Entities do, which are in "
    "github.com/BryanPlummer/flickr30k_entities",
}

logger = logging.getLogger(__name__)


def read_flickr(
    paths: DataPaths, file: Path, splits: Collection[str], left_out: list[Failure] | None = None
) -> list[CaptionedImage]:
    """Read the images of some splits, in the order of their lists.

    Arguments are those of ``misc.data.captions.read_captions``, and the file of captions. A row of
    these images that cannot be used is left out and named, and so is an image without captions.

    Raises:
        FileNotFoundError: if there is no list of a split that is asked for.
        ValueError: if no image of these splits has a caption.
    """
    failures: list[Failure] = []
    split_of: dict[int, str] = {}  # by the ids of the images that are asked for
    for split in LISTS:
        if split in splits:
            listed = _read_list(_existing_list(paths, file, split), split_of, failures)
            split_of |= dict.fromkeys(listed, split)
    texts: dict[int, list[str]] = {number: [] for number in split_of}
    names: dict[int, str] = {}
    read, place = functools.partial(_read_row, texts, names), operator.attrgetter("place")
    for row in read_entries(file_rows(file, failures), "", read, failures, place):
        if row:
            texts[row[0]].append(row[1])
    photographs = paths.photographs()

    def image(number: int) -> CaptionedImage:
        if not texts[number]:
            raise ValueError(f"{file.name} has no caption of it")
        place = paths.images / names[number]
        path = photographs.find(place)
        captions = tuple(texts[number])
        return CaptionedImage(number, path or place, captions, bool(path), split_of[number])

    images = list(read_entries(texts, f"{paths.dataset}, image", image, failures, str))
    leave_out(failures, left_out, logger)
    if not images:
        raise NoImagesError(f"{file} and its lists have no image in {' or '.join(splits)}")
    return images


def find_captions(paths: DataPaths) -> Path | None:
    """Find the captions, in the folder of the data set or in one that is in it."""
    return _find(paths, CAPTIONS)


def find_list(paths: DataPaths, split: str) -> Path | None:
    """Find the list of a split, beside the captions; of Flickr30k, that of Entities counts."""
    file, of_entities = _find(paths, LISTS[split]), paths.entities / f"{split}.txt"
    if file is None and paths.dataset == "flickr30k" and of_entities.is_file():
        return of_entities
    return file


def _existing_list(paths: DataPaths, captions: Path, split: str) -> Path:
    file = find_list(paths, split)
    if file is None:
        raise FileNotFoundError(
            f"no file says which images of {captions} are in {split}. {SOURCES[paths.dataset]}; "
            f"or Karpathy's {paths.split_file}. Splits are never drawn at random, as figures on "
            "others cannot be compared"
        )
    return file


def _find(paths: DataPaths, names: Collection[str]) -> Path | None:
    folder = paths.split_file.parent
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        inner = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    files = (place / name for place in (folder, *inner) for name in names)
    return next(filter(Path.is_file, files), None)


def _read_list(file: Path, before: Collection[int], failures: list[Failure]) -> list[int]:
    """Read the ids of a split, from names of files or ids."""
    seen = set(before)

    def read(name: str) -> int:
        number = photograph_id(name)
        if number is None:
            raise ValueError("there is no id in this name")
        if number in seen:
            raise ValueError("it is listed before")
        seen.add(number)
        return number

    lines = file.read_text(encoding="utf-8-sig").split()
    return list(read_entries(lines, f"{file.name},", read, failures, str))


def _read_row(texts: Collection[int], names: dict[int, str], row: Row) -> tuple[int, str] | None:
    """Read the id of an image and a caption of it; ``None`` if it is not asked for."""
    number = photograph_id(row.image)
    if number is None:
        raise ValueError(row.fault or f"there is no id in the name {row.image!r:.80}")
    if number not in texts:
        return None
    if row.fault or not row.caption:
        raise ValueError(row.fault or "the caption is empty")
    names.setdefault(number, row.image)
    return number, row.caption
