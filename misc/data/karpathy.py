"""Reader of Karpathy's splits."""

import collections
import dataclasses
import functools
import logging
from collections.abc import Collection
from typing import Any

from misc.config import FLICKR
from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.entries import leave_out, read_entries, read_id
from misc.data.json_files import format_of, read_json
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs, photograph_id
from misc.runtime.failures import Failure

logger = logging.getLogger(__name__)


def read_karpathy(
    paths: DataPaths, splits: Collection[str], left_out: list[Failure] | None = None
) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``.

    Arguments and errors are those of ``misc.data.captions.read_captions``. An entry that cannot be
    read, and a caption without a word, are left out and named; not those of other splits.
    """
    file = paths.existing(paths.split_file)
    with format_of(file, "Karpathy's splits"):
        entries = list(read_json(file)["images"])
    counts: collections.Counter[str] = collections.Counter()
    images: list[CaptionedImage] = []
    failures: list[Failure] = []
    read = functools.partial(_read_entry, paths, paths.photographs(), splits)
    for split, entry in read_entries(entries, f"{file.name}, image", read, failures):
        counts[split] += 1
        if entry is not None:
            image, sentences = entry
            what = f"{file.name}, image {image.image_id} ({image.path.name}), caption"
            captions = list(read_entries(sentences, what, _read_sentence, failures))
            texts = tuple(text for text, _ in captions)
            ids = tuple(number for _, number in captions if paths.dataset == "coco")
            images.append(dataclasses.replace(image, captions=texts, caption_ids=ids))
    if not counts and failures:
        raise ValueError(f"{file} is not in the format of Karpathy's splits: {failures[0].reason}")
    leave_out(failures, left_out, logger)
    if not images:
        present = ", ".join(f"{split} ({count})" for split, count in counts.items())
        raise NoImagesError(
            f"{file} has no image in {' or '.join(splits)}; it has {present or 'none'}"
        )
    return images


def _read_entry(
    paths: DataPaths, photographs: Photographs, splits: Collection[str], entry: dict[str, Any]
) -> tuple[str, tuple[CaptionedImage, list[Any]] | None]:
    """Read an entry's split and, if it is asked for, the image and the sentences, yet unread."""
    split = entry["split"]
    if not isinstance(split, str):
        raise ValueError(f"{split!r:.80} is no split")
    if split not in splits:
        return split, None
    number = entry.get("cocoid")
    if number is None and paths.dataset in FLICKR:
        number = photograph_id(entry["filename"])
    number = entry["imgid"] if number is None else number
    place = paths.images / (entry.get("filepath") or "") / entry["filename"]
    path = photographs.find(place)
    image = CaptionedImage(read_id(number), path or place, (), bool(path), split)
    return split, (image, list(entry["sentences"]))


def _read_sentence(sentence: dict[str, Any]) -> tuple[str, int]:
    """Read the text of a sentence and its id, in COCO that of its annotation; -1 if it has none."""
    text, number = sentence["raw"], sentence.get("sentid", -1)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{text!r:.80} has no word")
    return text, -1 if number is None else read_id(number)
