"""Pictures as files."""

from pathlib import Path

from PIL import Image

from misc.runtime.files import replacing


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG; a killed process leaves the old file."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
