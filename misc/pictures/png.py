"""Pictures as files."""

from pathlib import Path

from PIL import Image

from misc.runtime.files import replacing


def save_small_png(picture: Image.Image, path: Path) -> None:
    """Write a picture in 256 colours: a third of the size, for what the eye does not see."""
    palette = picture.convert("RGB").quantize(256)
    with replacing(path) as temporary:
        picture.convert("RGB").quantize(palette=palette).save(
            temporary, format="PNG", optimize=True
        )


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG; a killed process leaves the old file."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
