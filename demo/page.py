"""The page itself: what is where on it, and what happens on a click."""

import html
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from demo.explorer import Explorer, View, read_upload, shown
from misc.transforms import load_image

STRENGTH = 0.7  # of the heat maps at first
STYLE = Path(__file__).with_name("style.css")
FOCUS = "() => setTimeout(() => document.querySelector('#phrases textarea').focus(), 100)"
TITLE = "Finding beans in burgers"
INTRODUCTION = f"""# {TITLE}
Images and sentences in one space: say what you look for, and see which images fit and where in
them it is. No box was ever shown to the model."""
CLOSER = """## A closer look
Click an image above, or upload one, and ask where things are in it."""


def theme() -> gr.themes.Base:
    """Quiet colours and the fonts of the reader's system; Gradio's own may come from elsewhere."""
    return gr.themes.Base(
        primary_hue="orange",
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def note(text: str, problem: bool = False) -> str:
    """Write a message to the reader as HTML that screen readers announce."""
    return f'<p role="status" class="{"problem" if problem else "muted"}">{html.escape(text)}</p>'


def caption_list(captions: Sequence[tuple[str, float]]) -> str:
    """Write captions and their similarities as an HTML list."""
    items = (
        f"<li>{html.escape(caption)} <span>{score:.2f}</span></li>" for caption, score in captions
    )
    return f"<ol>{''.join(items)}</ol>"


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

    def _look(self, read: Callable, file: Path | str) -> tuple[Any, ...]:
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
        message = "Where each phrase would be, with its similarity: low means it is not there."
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


def gallery(label: str, name: str) -> gr.Gallery:
    """Make a gallery without Gradio's own viewer."""
    return gr.Gallery(
        label=label,
        show_label=False,
        elem_id=name,
        columns=6,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
    )


def build_page(explorer: Explorer) -> gr.Blocks:
    """Lay out the page and connect it to what answers."""
    handlers = Handlers(explorer)
    # Pictures on the page are temporary files, which go after an hour.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        found, image, answers = gr.State([]), gr.State(), gr.State([])

        gr.Markdown(INTRODUCTION)
        with gr.Row(equal_height=True, elem_classes="ask"):
            query = gr.Textbox(
                label="Look for", placeholder="a dog and a pizza", scale=5, elem_id="query"
            )
            search = gr.Button("Search", variant="primary", scale=1, min_width=110)
        with gr.Row(elem_classes="examples"):
            examples = [gr.Button(text, size="sm") for text in explorer.gallery.examples]
        search_note = gr.HTML(elem_classes="message")
        found_tiles = gallery("Images found", "found")
        strength = gr.Slider(0, 1, STRENGTH, step=0.05, label="Strength of the heat maps")

        gr.Markdown(CLOSER)
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                picture = gr.Image(
                    label="The image", interactive=False, buttons=[], elem_id="picture"
                )
                file = gr.File(
                    label="Upload an image", file_types=["image"], height=120, elem_id="upload"
                )
            with gr.Column(scale=2, min_width=300):
                with gr.Row(equal_height=True, elem_classes="ask"):
                    phrases = gr.Textbox(
                        label="Where is … (several phrases: commas between them)",
                        placeholder="a dog, a pizza",
                        max_lines=4,
                        scale=4,
                        elem_id="phrases",
                    )
                    ask = gr.Button("Ask", variant="primary", scale=1, min_width=90)
                ask_note = gr.HTML(elem_classes="message")
                answer_tiles = gallery("Where the phrases are", "answers")
                with gr.Column(visible=bool(explorer.gallery.captions)):
                    gr.Markdown("### Captions that fit")
                    captions = gr.HTML(elem_classes="captions")

        found_all = [search_note, found_tiles, found]
        chosen_all = [ask_note, image, picture, captions]
        answers_all = [ask_note, answer_tiles, answers]
        asked = [phrases, image, strength]
        page.load(handlers.begin, None, found_all)
        gr.on([query.submit, search.click], handlers.search, [query, strength], found_all)
        for example in examples:
            example.click(str, example, query).then(handlers.search, [query, strength], found_all)
        found_tiles.select(handlers.choose, found, chosen_all).then(
            handlers.ask_again, asked, answers_all
        ).then(lambda: None, None, file, js=FOCUS)
        file.upload(handlers.upload, file, chosen_all).then(handlers.ask_again, asked, answers_all)
        gr.on([phrases.submit, ask.click], handlers.ask, asked, answers_all)
        strength.input(
            blend,
            [strength, found, answers],
            [found_tiles, answer_tiles],
            trigger_mode="always_last",
            show_progress="hidden",
        )
    return page


def serve(page: gr.Blocks, host: str, port: int) -> str:
    """Start to serve the page from this process, and return its address.

    Raises:
        OSError: if the port is taken.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # launch() asks itself whether it is up
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        run_history=False,
        footer_links=[],
        theme=theme(),
        css_paths=STYLE,
        quiet=True,
        prevent_thread_lock=True,
    )
    return url
