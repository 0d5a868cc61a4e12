"""What happens on the page when something is typed, clicked, uploaded or moved."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo.explorer import Explorer, View, read_upload, shown
from misc.data.decoding import load_image


def note(text: str, problem: bool = False) -> str:
    """Write a message to the reader as HTML that screen readers announce."""
    return f'<p role="status" class="{"problem" if problem else "muted"}">{html.escape(text)}</p>'


def caption_list(captions: Sequence[tuple[str, float]]) -> str:
    """Write captions and their similarities as HTML, nothing if there are none."""
    if not captions:
        return ""
    items = (
        f"<li>{html.escape(caption)} <span>{score:.2f}</span></li>" for caption, score in captions
    )
    return f"<h3>Captions that fit</h3><ol>{''.join(items)}</ol>"


def tiles(views: Sequence[View], strength: float) -> list[tuple[Image.Image, str]]:
    """Turn views into what a gallery shows."""
    return [(view.picture(strength), view.title) for view in views]


class Handlers:
    """What the page does when something is typed, clicked or moved."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer

    def begin(self) -> tuple[Any, ...]:
        """Fill the gallery before anything was asked: message, tiles and views."""
        views = self.explorer.first_views()
        count = len(self.explorer.gallery.images)
        return note(f"{count:,} images, the first of them here."), tiles(views, 0), views

    def search(self, text: str, strength: float) -> tuple[Any, ...]:
        """Show the images that fit a text: message, tiles and views."""
        try:
            views = self.explorer.search(text)
        except ValueError as error:
            return note(str(error), problem=True), *self.begin()[1:]
        count = len(self.explorer.gallery.images)
        message = f"The best of {count:,} images for “{text.strip()}”, with their similarity."
        return self._known(text, message), tiles(views, strength), views

    def choose(self, views: list[View], event: gr.SelectData) -> tuple[Any, ...]:
        """Take a closer look at an image of the gallery: message, image, picture, captions."""
        return self._look(load_image, views[event.index].file)

    def upload(self, file: str) -> tuple[Any, ...]:
        """Take a closer look at an uploaded file: message, image, picture, captions."""
        return self._look(read_upload, file)

    def _look(self, read: Callable[[Any], Any], file: Path | str) -> tuple[Any, ...]:
        try:
            image = read(file)
        except ValueError as error:
            return note(str(error), problem=True), None, None, ""
        captions = caption_list(self.explorer.captions(image))
        return note("Now ask where things are in it."), image, shown(image), captions

    def ask(self, text: str, image: Image.Image | None, strength: float) -> tuple[Any, ...]:
        """Show where phrases are in the chosen image: message, tiles and views."""
        if image is None:
            problem = "Choose an image first: click one above, or upload one."
            return note(problem, problem=True), None, []
        try:
            views = self.explorer.ask(image, text)
        except ValueError as error:
            return note(str(error), problem=True), None, []
        message = "Where each phrase would be, with its similarity"
        if self.explorer.embedder.reference is None:
            message += ": low means it is not there."
        else:
            message += ", and how many percent of other images fit it less."
        return self._known(text, message), tiles(views, strength), views

    def ask_again(self, text: str, image: Image.Image | None, strength: float) -> tuple[Any, ...]:
        """Ask a newly chosen image what was asked of the last one, if anything was."""
        if image is None or not text.strip():
            return gr.skip(), None, []
        return self.ask(text, image, strength)

    def _known(self, text: str, message: str) -> str:
        """Add to a message which words the model does not know."""
        unknown = self.explorer.unknown_words(text)
        words = ", ".join(f"“{word}”" for word in unknown)
        return note(f"{message} The model does not know {words}." if unknown else message)


def blend(strength: float, *views: list[View]) -> list[list[tuple[Image.Image, str]]]:
    """Blend anew what galleries show; nothing else is computed."""
    return [tiles(each, strength) for each in views]
