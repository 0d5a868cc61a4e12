"""Which image files a user means."""

import collections
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from misc.runtime.failures import read_item

# The one table of formats: by suffix, those that Pillow decodes by itself.
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP", ".bmp": "BMP", ".dib": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF",
    ".avif": "AVIF",
}  # fmt: skip
IMAGE_SUFFIXES = tuple(SUFFIXES)
FORMATS = tuple(dict.fromkeys([*SUFFIXES.values(), "DIB"]))  # Pillow's name of a BMP without header

logger = logging.getLogger(__name__)


def find_images(sources: Sequence[Path], recursive: bool) -> list[Path]:
    """List the images of folders, in sorted order, of lists of paths, and single ones.

    What cannot be read is listed, too, so that whoever reads it names it: a link that leads
    nowhere, a folder that may not be opened. What is passed over in a folder is logged by suffix
    and number.

    Args:
        sources: folders, images, by suffix or content, and text files with the path of an image a
            line, whatever its suffix.
        recursive: True looks into folders of folders, linked ones as well.

    Raises:
        FileNotFoundError: if a source does not exist.
        ValueError: if a source has no image.
    """
    images: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = _images_of_folder(source, recursive)
        elif (is_image(source) and source.exists()) or _holds_image(source):
            found = [source]
        else:
            found = _listed_images(source)
        if not found:
            hint = "" if recursive else "; -r looks into folders of folders"
            raise ValueError(f"no image in {source} (of {' '.join(IMAGE_SUFFIXES)}){hint}")
        images += found
    return images


def is_image(path: Path) -> bool:
    """Tell by the suffix, whatever its case, whether a file should be an image."""
    return path.suffix.lower() in SUFFIXES


def _holds_image(file: Path) -> bool:
    from PIL import Image

    def look() -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(file, formats=FORMATS).close()
        return True

    # A pipe, such as a shell makes of <(find …), can be read but once.
    return file.is_file() and read_item(0, str(file), look) is True


def _images_of_folder(folder: Path, recursive: bool) -> list[Path]:
    passed_over: collections.Counter[str] = collections.Counter()
    found: list[Path] = []
    for file in _walk(folder, recursive, found):
        # What a link without suffix would lead to may have been a folder of images.
        if is_image(file) or (not file.suffix and read_item(0, str(file), file.exists) is not True):
            found.append(file)
        else:
            passed_over[file.suffix.lower() or "without suffix"] += 1
    if passed_over:
        kinds = (f"{count} {suffix}" for suffix, count in passed_over.most_common())
        logger.info("passed over in %s, as no images: %s", folder, ", ".join(kinds))
    return sorted(found)


def _walk(folder: Path, recursive: bool, unread: list[Path]) -> Iterator[Path]:
    """Give the files of a folder and, if asked, of those in it, linked ones too, each folder once.

    Folders that may not be opened are added to ``unread``.
    """
    seen: set[Path] = set()

    def note(error: OSError) -> None:
        unread.append(Path(error.filename))

    for root, folders, files in os.walk(folder, onerror=note, followlinks=True):
        folders[:] = sorted(folders) if recursive else []
        place = Path(root).resolve()
        if place in seen:  # a link to what was there, maybe above it
            folders.clear()
            continue
        seen.add(place)
        yield from (Path(root, name) for name in files)


def _listed_images(file: Path) -> list[Path]:
    text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")  # names of any bytes
    if "\0" in text:
        suffixes = " ".join(IMAGE_SUFFIXES)
        raise ValueError(
            f"{file} is neither a folder, nor an image ({suffixes}), nor a list of paths"
        )
    return [Path(line.rstrip("\r")) for line in text.split("\n") if line.strip()]
