"""Where photographs are: folders, each read once, and the ids in the names of their files."""

import functools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from misc.data.image_files import is_image
from misc.runtime.failures import SHOWN

# COCO_val2014_000000000042.jpg and 000000000042.jpg; 1000268201_693b08cb0e.jpg and 1000268201.jpg.
NUMBERED = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d+)(?:_[0-9a-f]{10})?")

logger = logging.getLogger(__name__)


class Photograph(Protocol):
    """An image of a file of annotations, and whether there is a file of it."""

    @property
    def image_id(self) -> int: ...  # noqa: D102

    @property
    def found(self) -> bool: ...  # noqa: D102


Image = TypeVar("Image", bound=Photograph)


def photograph_id(name: str) -> int | None:
    """Read the id in the name of a file of COCO or Flickr; ``None`` if it is named otherwise."""
    match = NUMBERED.fullmatch(name.partition(".")[0])
    return int(match[1]) if match else None


class Photographs:
    """The photographs in some folders, by their place, their name, or the id in it.

    Args:
        folders: each is read once, when it is needed; those that are not there are passed over.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        self._listings: dict[Path, frozenset[str]] = {}

    def __len__(self) -> int:
        """Count the photographs in the folders, those of one id once."""
        names = (name for folder in self.folders for name in self._names(folder))
        photographs = (name for name in names if is_image(Path(name)))
        return len({photograph_id(name) or name for name in photographs})

    def find(self, place: Path) -> Path | None:
        """Find a photograph: at its place, else in the folders, by its name or the id in it."""
        if place.name in self._names(place.parent):
            return place
        number = photograph_id(place.name)
        found = self._elsewhere.get(place.name)
        return found or (None if number is None else self.by_id(number))

    def by_id(self, number: int) -> Path | None:
        """Find a photograph by its id."""
        return self._elsewhere.get(number)

    @functools.cached_property
    def _elsewhere(self) -> dict[str | int, Path]:
        """Index the folders by name and by id; of files alike, that of the first folder counts."""
        index: dict[str | int, Path] = {}
        for folder in self.folders:
            for name in sorted(self._names(folder)):
                path = folder / name
                number = photograph_id(name) if is_image(path) else None
                index.setdefault(name, path)
                if number is not None:
                    index.setdefault(number, path)
        return index

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            self._listings[folder] = _listing(folder)
        return self._listings[folder]


def _listing(folder: Path) -> frozenset[str]:
    """List the names in a folder; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def only_found(images: Sequence[Image], what: str, folder: Path) -> list[Image]:
    """Keep the images whose files are there, and warn of the others, with the first of their ids.

    Args:
        images: of a file of annotations.
        what: they are, for messages, such as "coco test".
        folder: where they are looked for, in folders as in data/README.md.

    Raises:
        FileNotFoundError: if not one is there.
    """
    found = [image for image in images if image.found]
    missing = [image.image_id for image in images if not image.found]
    if missing:
        first = ", ".join(map(str, missing[:SHOWN])) + (", …" if len(missing) > SHOWN else "")
        counts = f"{what}: {len(found):,} of {len(images):,} photographs found"
        if not found:
            raise FileNotFoundError(
                f"{counts} in {folder} and the folders in it; data/README.md says where to get "
                f"them and how folders may be called. Their ids: {first}"
            )
        logger.warning("%s; missing: %s", counts, first)
    return found
