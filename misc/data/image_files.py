"""Which image files a user means."""

from collections.abc import Sequence
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def find_images(sources: Sequence[Path], recursive: bool) -> list[Path]:
    """List the images of folders, in sorted order, of lists of paths, and single ones.

    Raises:
        FileNotFoundError: if a source does not exist.
        ValueError: if a source has no image.
    """
    images: list[Path] = []
    for source in sources:
        if source.is_dir():
            files = source.rglob("*") if recursive else source.iterdir()
            found = sorted(file for file in files if _is_image(file) and file.is_file())
        elif _is_image(source) and source.exists():
            found = [source]
        else:
            found = _listed_images(source)
        if not found:
            suffixes = " ".join(IMAGE_SUFFIXES)
            hint = "" if recursive else "; -r looks into folders of folders"
            raise ValueError(f"no image in {source} (of {suffixes}){hint}")
        images += found
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _listed_images(file: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        suffixes = " ".join(IMAGE_SUFFIXES)
        raise ValueError(
            f"{file} is neither a folder, nor an image ({suffixes}), nor a list of paths in UTF-8"
        ) from error
    return [Path(line.rstrip("\r")) for line in lines if line.strip()]
