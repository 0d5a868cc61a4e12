"""The images that the page searches, and the captions that it chooses from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from misc.data.captions import read_captions
from misc.data.image_files import find_images
from misc.data.paths import data_paths
from misc.embedder import Embedder
from misc.features.search import load_gallery
from misc.inference.encode import encode_images

TOY_EXAMPLES = (
    "a dog",
    "a penguin in the snow",
    "a whale and a pizza",
    "a boat on the water",
    "a lamp",  # a word that no caption has
)
EXAMPLES = ("a dog", "people at a table", "a street at night", "a beach", "food on a plate")


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Images that can be searched, and captions to choose from."""

    images: list[Path]
    embeddings: Tensor  # (N, D)
    captions: list[str] = dataclasses.field(default_factory=list)
    examples: tuple[str, ...] = EXAMPLES


def toy_gallery(
    embedder: Embedder, root: Path, limit: int | None = None, workers: int = 0
) -> Gallery:
    """Embed the test images of the toy set, which is made if need be, and take their captions."""
    captioned = read_captions(data_paths(root, "toy"), {"test"})[:limit]
    gallery = folder_gallery(embedder, [image.path for image in captioned], workers=workers)
    captions = [caption for image in captioned for caption in image.captions]
    return dataclasses.replace(gallery, captions=captions, examples=TOY_EXAMPLES)


def folder_gallery(
    embedder: Embedder, sources: Sequence[Path], limit: int | None = None, workers: int = 0
) -> Gallery:
    """Embed images, and those of folders and their folders; what cannot be read is left out.

    Raises:
        FileNotFoundError: if a source does not exist.
        ValueError: if there is no image, or none can be read.
    """
    images = find_images(sources, recursive=True)[:limit]
    embeddings, rows, _ = encode_images(
        embedder.model, images, embedder.image_size, embedder.batch_size, workers=workers
    )
    return Gallery([images[row] for row in rows], embeddings)


def features_gallery(embedder: Embedder, file: Path, limit: int | None = None) -> Gallery:
    """Read images and their embeddings from what ``image_features_extraction.py`` wrote.

    Raises:
        FileNotFoundError: if the file, or an image that it names, is not there.
        ValueError: if it is no file of embeddings, is empty, or belongs to another model.
    """
    names, embeddings = load_gallery(file, embedder.model.config.embedding_dim)
    images = [Path(name) for name in names[:limit]]
    missing = [image for image in images if not image.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of the {len(images)} images in {file} are not there, the first is "
            f"{missing[0]}; start the page in the folder in which they were extracted"
        )
    return Gallery(images, embeddings[:limit])


def read_lines(file: Path) -> list[str]:
    """Read the lines of a text file that are not blank.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not in UTF-8, or has no such line.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error}") from error
    if captions := [line.strip() for line in lines if line.strip()]:
        return captions
    raise ValueError(f"{file} has no captions")
