"""What the page shows, without the page: images found, heat maps, captions that fit."""

import dataclasses
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from misc.annotations import read_captions
from misc.dataset import data_paths
from misc.embedder import Embedder
from misc.embeddings import load_embeddings
from misc.encode import encode_images
from misc.image_files import find_images
from misc.localization import peaks
from misc.search import nearest
from misc.text import tokenize
from misc.transforms import load_image, to_rgb
from misc.visualization import mark_peak, overlay

UPLOAD_SIDE = 1024  # pixels; larger uploads are scaled down, the model looks at 400 or less
SHOWN_SIDE = 400  # pixels; longer side of the pictures on the page
TOP_IMAGES = 12
TOP_CAPTIONS = 5
MOST_PHRASES = 8  # that are asked of one image at once
HEAT_OPACITY = 0.75  # of the heat map at full strength, so that the image shines through

TOY_EXAMPLES = ("a dog and a pizza", "an owl in the snow", "there is a puppy", "a burger", "a jet")
EXAMPLES = ("a dog", "people at a table", "a street at night", "a beach", "food on a plate")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Images that can be searched, and captions to choose from."""

    images: list[Path]
    embeddings: Tensor  # (N, D)
    captions: list[str] = dataclasses.field(default_factory=list)
    examples: tuple[str, ...] = EXAMPLES


@dataclasses.dataclass(frozen=True)
class View:
    """An image as it is shown, and where a phrase is in it."""

    image: Image.Image
    title: str = ""
    heat_map: Tensor | None = None  # (h, w)
    file: Path | None = None

    def picture(self, strength: float) -> Image.Image:
        """Blend the image with its heat map: from 0, the image alone, to 1; a ring is the peak."""
        if self.heat_map is None or strength == 0:
            return self.image
        heated = overlay(self.image, self.heat_map, HEAT_OPACITY)
        picture = Image.blend(self.image, heated, strength)
        mark_peak(picture, peaks(self.heat_map[None], picture.size)[0].tolist())
        return picture


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
    names, embeddings = load_embeddings(file)
    images, dimension = [Path(name) for name in names[:limit]], embedder.model.config.embedding_dim
    if not images:
        raise ValueError(f"{file} has no embeddings")
    if embeddings.shape[1] != dimension:
        raise ValueError(
            f"the embeddings in {file} have {embeddings.shape[1]} dimensions, and those of the "
            f"model {dimension}; extract them with this model"
        )
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


def parse_phrases(text: str) -> list[str]:
    """Split what was typed at commas, semicolons and line ends into phrases, each once.

    Raises:
        ValueError: if there is none, or there are too many.
    """
    pieces = (piece.strip() for piece in re.split(r"[,;\n]", text))
    phrases = list(dict.fromkeys(piece for piece in pieces if piece))
    if not phrases:
        raise ValueError("Type a phrase first, such as “a dog”.")
    if len(phrases) > MOST_PHRASES:
        raise ValueError(f"These are {len(phrases)} phrases; ask up to {MOST_PHRASES} at once.")
    return phrases


def read_upload(file: Path | str) -> Image.Image:
    """Read an image file as upright RGB, scaled down to a side of at most ``UPLOAD_SIDE`` pixels.

    Pillow opens up to 178 megapixels; a JPEG is not even decoded at full size.

    Raises:
        ValueError: if it is no image or a larger one; the message is for the page.
    """
    name = Path(file).name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                image.thumbnail((UPLOAD_SIDE, UPLOAD_SIDE))
                return to_rgb(image)
    except Image.DecompressionBombError as error:
        limit = round(2 * Image.MAX_IMAGE_PIXELS / 1e6)
        raise ValueError(
            f"{name} has more than {limit} megapixels. Scale it down and try again."
        ) from error
    except (OSError, ValueError, SyntaxError) as error:  # the last is Pillow's for a broken PNG
        raise ValueError(f"{name} cannot be read as an image. Try a JPEG or PNG.") from error


def shown(image: Image.Image) -> Image.Image:
    """Scale an image, down or up, to the size of the pictures on the page."""
    scale = SHOWN_SIDE / max(image.size)
    return image.resize([max(1, round(scale * side)) for side in image.size])


class Explorer:
    """Answers the page's questions by a model, about a gallery and about single images."""

    def __init__(self, embedder: Embedder, gallery: Gallery) -> None:
        self.embedder = embedder
        self.gallery = gallery
        self._captions = list(dict.fromkeys(gallery.captions))
        self._caption_embeddings = embedder.embed_texts(self._captions)  # (M, D)

    def first_views(self) -> list[View]:
        """Show the first images of the gallery, for want of a question."""
        images = self.gallery.images[:TOP_IMAGES]
        return [View(shown(load_image(path)), file=path) for path in images]

    def search(self, text: str) -> list[View]:
        """Find the images that fit a text best, the best first, and where it is in each.

        Raises:
            ValueError: if the text is empty, or an image has become unreadable.
        """
        if not text.strip():
            raise ValueError("Type what to look for first, or click an example.")
        query = self.embedder.embed_texts([text])
        scores, rows = nearest(query, self.gallery.embeddings, TOP_IMAGES)
        views = []
        for score, row in zip(scores[0].tolist(), rows[0].tolist(), strict=True):
            path = self.gallery.images[row]
            heat_map = self.embedder.localize(path, [text])[0]
            views.append(View(shown(load_image(path)), f"{score:.2f}", heat_map, path))
        return views

    def ask(self, image: Image.Image, text: str) -> list[View]:
        """Show where each phrase of a text is in an image, with its similarity to the image.

        Raises:
            ValueError: if there is no phrase, or too many.
        """
        phrases = parse_phrases(text)
        scores = self.embedder.embed_texts(phrases) @ self.embedder.embed_images([image])[0]  # (M,)
        heat_maps = self.embedder.localize(image, phrases)
        titles = [
            f"{phrase} · {score:.2f}"
            for phrase, score in zip(phrases, scores.tolist(), strict=True)
        ]
        return [View(shown(image), *each) for each in zip(titles, heat_maps, strict=True)]

    def captions(self, image: Image.Image) -> list[tuple[str, float]]:
        """Choose the captions that fit an image best, with their similarity to it; maybe none."""
        if not self._captions:
            return []
        query = self.embedder.embed_images([image])
        scores, rows = nearest(query, self._caption_embeddings, TOP_CAPTIONS)
        return [
            (self._captions[row], score)
            for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        ]

    def unknown_words(self, text: str) -> list[str]:
        """List the words of a text that the model has no vector for."""
        tokens, vectors = tokenize(text), self.embedder.word_vectors
        return [
            token
            for token, row in zip(tokens, vectors.rows(text), strict=True)
            if row == vectors.unknown
        ]
