"""Image files to RGB pixels, upright, whatever the file: one way for scripts, tars and the page."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from misc.data.image_files import FORMATS
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
    name = name or str(file)
    image = read_item(0, name, lambda: _decode(file, longest))
    if isinstance(image, Failure):
        raise ValueError(f"cannot read image {name}: {image.reason.removeprefix(f'{name}: ')}")
    return image


def upright_size(file: Path) -> tuple[int, int]:
    """Read width and height in pixels of what ``load_image`` reads, were it never scaled down."""
    with _opened(file) as image:
        width, height = image.size
        return (height, width) if _orientation(image) > 4 else (width, height)


def _opened(file: Path | BinaryIO) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images, and of metadata that cannot be read
        # A list, as some of Pillow's formats start other programs.
        return Image.open(file, formats=FORMATS)


def _decode(file: Path | BinaryIO, longest: int | None) -> Image.Image:
    with _opened(file) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
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
