"""Image files to RGB pixels, upright, whatever the file: one way for scripts, tars and the page."""

import contextlib
import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image

from misc.data.image_files import FORMATS
from misc.data.metadata import SIGNATURE_BYTES, has_metadata, without_metadata
from misc.runtime.failures import Failure, read_item

ORIENTATION = 0x0112  # the tag of EXIF
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Read = TypeVar("Read")


def load_image(file: Path | BinaryIO, name: str = "", longest: int | None = None) -> Image.Image:
    """Read the first frame of an image file as RGB, upright, transparency over white.

    A JPEG of more than 89 megapixels is decoded at half its size; the limit is twice that number.

    Args:
        file: its path, or an open file.
        name: of the file, for messages; default: the path.
        longest: if given, the image is scaled down to a longer side of so many pixels.

    Raises:
        ValueError: if the file is missing, truncated, too large, or none of ``FORMATS``; the
            message names it.
    """
    return _read(file, name or str(file), functools.partial(_decode, longest=longest))


def upright_size(file: Path) -> tuple[int, int]:
    """Read width and height in pixels of what ``load_image`` reads, were it never scaled down.

    Raises:
        ValueError: as ``load_image`` does.
    """
    return _read(file, str(file), _upright_size)


def _read(file: Path | BinaryIO, name: str, use: Callable[[Image.Image], Read]) -> Read:
    """Open an image and use it; if that fails, once more without its metadata."""
    first = read_item(0, name, lambda: _used(file, use))
    if not isinstance(first, Failure):
        return first
    second = read_item(0, name, lambda: _used(_bare(file), use))
    if not isinstance(second, Failure):
        return second
    reason = first.reason.removeprefix(f"{name}: ").replace(f" {file!r}", "")
    raise ValueError(f"cannot read image {name}: {reason}")


def _used(file: Path | BinaryIO, use: Callable[[Image.Image], Read]) -> Read:
    # Of large images, and of metadata that cannot be read. Not within catch_warnings, which puts
    # back what it found, for all threads, while others read on.
    warnings.filterwarnings("ignore", module="PIL")
    # A list, as some of Pillow's formats start other programs.
    with Image.open(_no_pipe(file), formats=FORMATS) as image:
        return use(image)


def _no_pipe(file: Path | BinaryIO) -> Path | BinaryIO:
    if isinstance(file, Path) and file.is_fifo():  # opening it would wait for a writer
        raise ValueError("it is a pipe")
    return file


def _bare(file: Path | BinaryIO) -> BinaryIO:
    """Give an image file without its metadata, as far as they may be to blame."""
    file = _no_pipe(file)
    with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as stream:
        stream.seek(0)
        signature = stream.read(SIGNATURE_BYTES)
        if not has_metadata(signature):
            raise ValueError("no metadata to leave out")
        return io.BytesIO(without_metadata(signature + stream.read()))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    turned = image.format != "TIFF" and _orientation(image) > 4  # Pillow turns TIFF by itself
    return (height, width) if turned else (width, height)


def _decode(image: Image.Image, longest: int | None) -> Image.Image:
    width, height = image.size
    if longest:
        image.thumbnail((longest, longest))
    elif width * height > (Image.MAX_IMAGE_PIXELS or width * height):
        image.draft("RGB", (width // 2, height // 2))
    image.load()
    return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a PIL image upright (EXIF) and into RGB, transparency over white.

    Raises:
        ValueError: if its numbers are no colours.
    """
    upright = UPRIGHT.get(_orientation(image))
    if upright is not None:
        image = image.transpose(upright)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Read how an image is to be turned; metadata that cannot be read costs nothing else."""
    found = read_item(0, "EXIF", lambda: int(image.getexif().get(ORIENTATION, 1)))
    return 1 if isinstance(found, Failure) else found


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits, which Pillow would clip to white, or numbers from 0 to 1."""
    grey = np.asarray(image)
    lowest, highest = grey.min(), grey.max()
    if image.mode.startswith("I;16"):
        scaled = grey >> 8
    elif not lowest >= 0 or not np.isfinite(highest):
        raise ValueError(f"its numbers, {lowest:g} to {highest:g}, are no colours")
    elif image.mode == "F":
        scaled = grey * (255 if highest <= 1 else 1 if highest <= 255 else 255 / highest)
    else:
        scaled = grey >> max(int(highest).bit_length() - 8, 0)  # as many bits as it has
        scaled = scaled if highest < 256 or highest >= 1 << 16 else grey >> 8
    pixels = Image.fromarray(scaled.astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        pixels.putalpha(Image.fromarray(np.where(grey == clear, 0, 255).astype(np.uint8)))
    return pixels
