"""Reader of Karpathy's splits, and the way to all captions."""

import collections
import functools
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.json_files import format_of, read_json
from misc.data.own_captions import read_caption_file
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure, read_item, tell

logger = logging.getLogger(__name__)


def read_captions(paths: DataPaths, splits: Collection[str]) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``, in the file's order.

    Captions of one's own are read by ``misc.data.own_captions`` instead.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not in Karpathy's format, or has no image in these splits. An entry
            that cannot be read, and a caption without a word, are left out and named.
    """
    if paths.dataset == "captions":
        return read_caption_file(paths.own_captions, paths.own_images, splits)
    file = paths.existing(paths.split_file)
    with format_of(file, "Karpathy's splits"):
        entries = list(read_json(file)["images"])
    counts: collections.Counter[str] = collections.Counter()
    images, failures = [], []
    for index, entry in enumerate(entries):
        read = functools.partial(_read_entry, entry, paths.images)
        item = read_item(index, f"{file.name}, image {index}", read)
        if isinstance(item, Failure):
            failures.append(item)
            continue
        split, image, blank = item
        counts[split] += 1
        if split in splits:
            images.append(image)
            failures += [Failure(index, image.path.name, f"{file.name}: {text}") for text in blank]
    if not counts and failures:
        raise ValueError(f"{file} is not in the format of Karpathy's splits: {failures[0].reason}")
    tell(failures, logger)
    if not images:
        present = ", ".join(f"{split} ({count})" for split, count in counts.items())
        raise NoImagesError(
            f"{file} has no image in {' or '.join(splits)}; it has {present or 'none'}"
        )
    return images


def _read_entry(entry: dict[str, Any], folder: Path) -> tuple[str, CaptionedImage, list[str]]:
    """Read the split of an entry, its image, and why some of its captions are not used."""
    number = entry.get("cocoid")
    number = entry["imgid"] if number is None else number
    path = folder / (entry.get("filepath") or "") / entry["filename"]
    texts = [sentence["raw"] for sentence in entry["sentences"]]
    captions = tuple(text for text in texts if isinstance(text, str) and text.strip())
    blank = [
        f"the caption {text!r:.80} of image {number} ({path.name}) has no word"
        for text in texts
        if not isinstance(text, str) or not text.strip()
    ]
    return entry["split"], CaptionedImage(int(number), path, captions), blank
