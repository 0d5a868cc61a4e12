"""Readers of the published annotation formats; nothing else knows them."""

import collections
import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from misc.config import DataPaths


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """A photograph with the sentences that were written for it."""

    image_id: int
    path: Path
    captions: tuple[str, ...]


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        ValueError: if it is empty, cut off or no JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again") from error


def read_captions(paths: DataPaths, splits: Collection[str]) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``, in the file's order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not in Karpathy's format or has no image in these splits.
    """
    file = paths.existing(paths.split_file)
    try:
        entries = read_json(file)["images"]
        counts = collections.Counter(entry["split"] for entry in entries)
        images = [
            CaptionedImage(
                image_id=entry.get("cocoid", entry["imgid"]),
                path=paths.images / entry.get("filepath", "") / entry["filename"],
                captions=tuple(sentence["raw"] for sentence in entry["sentences"]),
            )
            for entry in entries
            if entry["split"] in splits
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file} is not in the format of Karpathy's splits: {error!r}") from error
    if not images:
        present = ", ".join(f"{split} ({count})" for split, count in counts.items())
        raise ValueError(
            f"{file} has no image in {' or '.join(splits)}; it has {present or 'none'}"
        )
    return images
