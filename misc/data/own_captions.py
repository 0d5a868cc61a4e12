"""Captions of one's own: tables, JSON or text files beside the images, and a split that lasts."""

import collections
import functools
import hashlib
import logging
import operator
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from misc.data.caption_rows import Row
from misc.data.caption_tables import file_rows, folder_rows
from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.entries import read_entries
from misc.data.image_files import IMAGE_SUFFIXES
from misc.runtime.failures import Failure, tell

logger = logging.getLogger(__name__)

SPLITS = {
    "train": "train", "training": "train", "restval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
EVALUATION_FIRST = ("test", "val", "train")  # of equal images, the one that is kept


def read_caption_file(
    captions: str, images: str, splits: Collection[str], left_out: list[Failure] | None = None
) -> list[CaptionedImage]:
    """Read the images of some splits, in the order of their names.

    The split is that of the file; without one it follows from a hash of the image's name, 80 % for
    training, 10 % for validation and 10 % for testing, so that more images move none. Of images
    with the same bytes, only those of one split are kept, of an evaluation split if there is one.
    Rows that cannot be used are left out, with a warning that says where and why.

    Args:
        captions: a JSONL, CSV or TSV file with an image and a caption column, COCO's captions or
            Karpathy's splits as JSON; or "folder" for text files beside the images.
        images: the folder that image names start from; "" is that of the file.
        splits: train, val or test.
        left_out: gets what cannot be used, of all splits.

    Raises:
        FileNotFoundError: if the file or the folder is missing.
        ValueError: if the file cannot be understood, or has no image in these splits.
    """
    everything, failures = _read_all(captions, images)
    if left_out is not None:
        left_out += failures
    found = [image for split in everything for image in everything[split] if split in splits]
    if not found:
        counts = ", ".join(f"{split} ({len(members)})" for split, members in everything.items())
        raise NoImagesError(
            f"{captions} has no image in {' or '.join(splits)}; it has {counts}. A column split "
            "assigns them"
        )
    return found


@functools.lru_cache(maxsize=4)
def _read_all(captions: str, images: str) -> tuple[dict[str, list[CaptionedImage]], list[Failure]]:
    """Read all splits, and what is left out, which is told once."""
    if not captions:
        raise ValueError("--dataset captions needs --captions FILE, or --captions folder")
    file = Path(captions)
    if not images and captions == "folder":
        raise ValueError("--captions folder needs --images, the folder that the files are in")
    folder = Path(images or file.parent)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder of images: {folder}")
    failures: list[Failure] = []
    rows = folder_rows(folder, failures) if captions == "folder" else file_rows(file, failures)
    kept = _without_duplicates(_group(rows, folder, failures), failures)
    tell(failures, logger)
    if not kept:
        raise ValueError(f"{captions}: not one row can be used; the warnings say why")
    splits: dict[str, list[CaptionedImage]] = {split: [] for split in reversed(EVALUATION_FIRST)}
    for name, (path, split, texts) in sorted(kept.items()):
        splits[split].append(CaptionedImage(_number(name), path, tuple(texts), split=split))
    return splits, failures


Grouped = dict[str, tuple[Path, str, list[str]]]  # by name: file, split and captions


def _group(rows: Iterable[Row], folder: Path, failures: list[Failure]) -> Grouped:
    """Collect the captions of each image whose file is there."""
    files: dict[str, Path | None] = {}
    grouped: Grouped = {}

    def read(row: Row) -> tuple[str, Path, str, str]:
        name = unicodedata.normalize("NFC", row.image)
        if name not in files:
            files[name] = _existing(folder, row.image)
        path, split = _usable(row, files[name], name)
        if name in grouped and grouped[name][1] != split:
            raise ValueError(f"{row.image!r} is in {grouped[name][1]}, too")
        return name, path, split, row.caption

    places = operator.attrgetter("place")
    for name, path, split, caption in read_entries(rows, "", read, failures, places):
        grouped.setdefault(name, (path, split, []))[2].append(caption)
    return grouped


def _usable(row: Row, path: Path | None, name: str) -> tuple[Path, str]:
    """Find the file and the split of a row, or say what it lacks."""
    if row.fault:
        raise ValueError(row.fault)
    if not row.image:
        raise ValueError("no image is named")
    if not row.caption:
        raise ValueError("the caption is empty")
    if path is None:
        raise ValueError(f"there is no image {row.image!r}")
    split = SPLITS.get(row.split.lower()) if row.split else _split_of(name)
    if split is None:
        raise ValueError(f"{row.split!r} is no split: train, val or test")
    return path, split


def _existing(folder: Path, name: str) -> Path | None:
    """Find an image whose name may be written in another form of Unicode than its file's."""
    forms = [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    if name.isdigit():  # the number of an image
        forms += [f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    try:
        return next((folder / form for form in forms if form and (folder / form).is_file()), None)
    except (OSError, ValueError):  # no file can be called so, such as a whole caption
        return None


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()  # any name


def _split_of(name: str) -> str:
    """Assign a split by a hash of the image's name."""
    return {0: "val", 1: "test"}.get(int.from_bytes(_digest(name)[-8:]) % 10, "train")


def _number(name: str) -> int:
    """Make an image id of a name, from 0 up to 2^63."""
    return int.from_bytes(_digest(name)[:8]) >> 1


def _without_duplicates(grouped: Grouped, failures: list[Failure]) -> Grouped:
    """Keep, of images with the same bytes, those of one split."""
    sizes = collections.defaultdict(list)
    for name, (path, _, _) in grouped.items():
        sizes[path.stat().st_size].append(name)
    alike = [name for names in sizes.values() if len(names) > 1 for name in names]

    def read(name: str) -> tuple[str, bytes]:
        return name, hashlib.sha256(grouped[name][0].read_bytes()).digest()

    same = collections.defaultdict(list)
    for name, digest in read_entries(alike, "", read, failures, str):
        same[digest].append(name)
    dropped = set(alike).difference(*same.values())
    for names in same.values():
        kept = min((grouped[name][1] for name in names), key=EVALUATION_FIRST.index)
        twin = next(name for name in names if grouped[name][1] == kept)
        for name in names:
            if grouped[name][1] != kept:
                reason = f"{name} is the same image as {twin}, which is in {kept}"
                failures.append(Failure(len(dropped), name, reason))
                dropped.add(name)
    return {name: entry for name, entry in grouped.items() if name not in dropped}
