"""What the page shows, without the page: images found, heat maps, captions that fit."""

import dataclasses
import functools
import logging
import re
from pathlib import Path

from PIL import Image
from torch import Tensor

from demo.gallery import Gallery
from misc.cli.options import PEAK_SIGMA
from misc.data.decoding import load_image
from misc.embedder import Embedder
from misc.evaluation.localization import both_peaks
from misc.features.search import nearest
from misc.pictures.heat_maps import mark_peaks, overlay
from misc.pictures.presence import strength, titled
from misc.runtime.failures import apart, read_item, tell
from misc.words.token_vectors import required

UPLOAD_SIDE = 1024  # pixels; larger uploads are scaled down, the model looks at 400 or less
SHOWN_SIDE = 400  # pixels; longer side of the pictures on the page
TOP_IMAGES = 12
TOP_CAPTIONS = 5
LONGEST = 500  # characters of what is typed
MOST_PHRASES = 8  # that are asked of one image at once

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class View:
    """An image as it is shown, and where a phrase is in it."""

    image: Image.Image
    title: str = ""
    heat_map: Tensor | None = None  # (h, w)
    file: Path | None = None
    sigma: float = PEAK_SIGMA  # of the smoothing, as a share of the image's sides
    percent: float = float("nan")  # of other images that fit the phrase less, if that is known

    def picture(self, opacity: float) -> Image.Image:
        """Lay the heat map over the image: from 0, the image alone, to 1, nothing but heat.

        A dot is the peak, a ring that of the smoothed map; what is probably not there is faint.
        """
        if self.heat_map is None or opacity == 0:
            return self.image
        picture = overlay(self.image, self.heat_map, opacity * strength(self.percent))
        points = both_peaks(self.heat_map[None], picture.size, self.sigma)[0]
        mark_peaks(picture, *points.tolist())
        return picture


def parse_phrases(text: str) -> list[str]:
    """Split what was typed at commas, semicolons and line ends into phrases, each once.

    Raises:
        ValueError: if there is none, there are too many, or the text is too long.
    """
    check_length(text)
    pieces = (piece.strip() for piece in re.split(r"[,;\n]", text))
    phrases = list(dict.fromkeys(piece for piece in pieces if piece))
    if not phrases:
        raise ValueError("Type a phrase first, such as “a dog”.")
    if len(phrases) > MOST_PHRASES:
        raise ValueError(f"These are {len(phrases)} phrases; ask up to {MOST_PHRASES} at once.")
    return phrases


def check_length(text: str) -> None:
    """Refuse what the page would not let anybody type; whoever asks the server directly can.

    Raises:
        ValueError: if it has more than ``LONGEST`` characters.
    """
    if len(text) > LONGEST:
        raise ValueError(f"These are {len(text)} characters; type up to {LONGEST}.")


def read_upload(file: Path | str) -> Image.Image:
    """Read an image file as upright RGB, scaled down to a side of at most ``UPLOAD_SIDE`` pixels.

    Pillow opens up to 179 megapixels; a JPEG is not even decoded at full size.

    Raises:
        ValueError: if it is no image or a larger one; the message is for the page.
    """
    name = Path(file).name
    try:
        return load_image(Path(file), longest=UPLOAD_SIDE)
    except ValueError as error:
        if "decompression bomb" in str(error):  # Pillow's words
            limit = round(2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6)
            raise ValueError(
                f"{name} has more than {limit} megapixels. Scale it down and try again."
            ) from error
        raise ValueError(f"{name} cannot be read as an image. Try a JPEG or PNG.") from error


def shown(image: Image.Image) -> Image.Image:
    """Scale an image, down or up, to the size of the pictures on the page."""
    scale = SHOWN_SIDE / max(image.size)
    return image.resize([max(1, round(scale * side)) for side in image.size])


class Explorer:
    """Answers the page's questions by a model, about a gallery and about single images.

    Args:
        embedder: the model.
        gallery: the images that are searched.
        sigma: of the smoothing before the second peak, as a share of the image's sides.
    """

    def __init__(self, embedder: Embedder, gallery: Gallery, sigma: float = PEAK_SIGMA) -> None:
        self.embedder = embedder
        self.gallery = gallery
        self.sigma = sigma
        self._captions = list(dict.fromkeys(gallery.captions))
        self._caption_embeddings = embedder.embed_texts(self._captions)  # (M, D)

    def first_views(self) -> list[View]:
        """Show the first images of the gallery that can be read, for want of a question."""
        images = self.gallery.images[:TOP_IMAGES]
        views, failures = apart(
            read_item(row, str(file), functools.partial(self._view, file))
            for row, file in enumerate(images)
        )
        tell(failures, logger)
        return views

    def _view(self, file: Path, text: str = "", score: float = 0, percent: float = 0) -> View:
        """Show an image, and where a text is in it, if there is one."""
        image = load_image(file)
        if not text:
            return View(shown(image), file=file)
        title, heat_map = titled(f"{score:.2f}", percent), self.embedder.localize(image, [text])[0]
        return View(shown(image), title, heat_map, file, self.sigma, percent)

    def search(self, text: str) -> list[View]:
        """Find the images that fit a text best, the best first, and where it is in each.

        An image that cannot be read any more is left out, and logged.

        Raises:
            ValueError: if the text is empty or too long, or no image can be read.
        """
        if not text.strip():
            raise ValueError("Type what to look for first, or click an example.")
        check_length(text)
        query = self.embedder.embed_texts([text])
        scores, rows = nearest(query, self.gallery.embeddings, TOP_IMAGES)
        percents = self.embedder.percentiles(self.gallery.embeddings[rows[0]], query)[:, 0]
        files = [self.gallery.images[row] for row in rows[0]]
        found = zip(files, scores[0].tolist(), percents.tolist(), strict=True)
        views, failures = apart(
            read_item(place, str(file), functools.partial(self._view, file, text, score, percent))
            for place, (file, score, percent) in enumerate(found)
        )
        tell(failures, logger)
        if not views:
            raise ValueError("None of the images that fit can be read any more.")
        return views

    def ask(self, image: Image.Image, text: str) -> list[View]:
        """Show where each phrase of a text is in an image, with its similarity, and if it is there.

        Raises:
            ValueError: if there is no phrase, or too many.
        """
        phrases = parse_phrases(text)
        texts, embedding = self.embedder.embed_texts(phrases), self.embedder.embed_images([image])
        scores = (texts @ embedding[0]).tolist()
        percents = self.embedder.percentiles(embedding, texts)[0].tolist()
        heat_maps = self.embedder.localize(image, phrases)
        views = []
        for phrase, score, percent, heat_map in zip(
            phrases, scores, percents, heat_maps, strict=True
        ):
            title = titled(f"{phrase} · {score:.2f}", percent)
            views.append(View(shown(image), title, heat_map, None, self.sigma, percent))
        return views

    def captions(self, image: Image.Image) -> list[tuple[str, float]]:
        """Choose the captions that fit an image best, with their similarity to it; maybe none."""
        query = self.embedder.embed_images([image])
        scores, rows = nearest(query, self._caption_embeddings, TOP_CAPTIONS)
        return [
            (self._captions[row], score)
            for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        ]

    def unknown_words(self, text: str) -> list[str]:
        """List the words of a text that the model has no vector for."""
        (found,) = required(self.embedder.word_vectors.vectors_of([text]))
        return [*found.unknown]
