"""The page itself: what is where on it, and what happens on a click."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from demo.explorer import LONGEST, Explorer
from demo.handlers import Handlers, blend
from misc.pictures.heat_maps import OPACITY

STYLE = Path(__file__).with_name("style.css")
# To the phrases, unless the reader has gone elsewhere since the click.
FOCUS = """() => setTimeout(() => {
    const here = document.activeElement;
    if (here === document.body || here.closest('#found'))
        document.querySelector('#phrases textarea').focus();
}, 100)"""
TITLE = "Finding beans in burgers"
INTRODUCTION = f"""# {TITLE}
Images and sentences in one space: say what you look for, and see which images fit and where in
them it is. No box was ever shown to the model."""
CLOSER = """## A closer look
Click an image above, or upload one, and ask where things are in it. Commas separate phrases."""


def theme() -> gr.themes.Base:
    """Quiet colours, and the fonts of the reader's system."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    base = gr.themes.Base(
        primary_hue="orange",
        neutral_hue="stone",
        radius_size="lg",
        font=fonts,
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(
        block_border_width="0px",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_padding="0px",
        input_border_width="1px",
        input_background_fill="*background_fill_primary",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )


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


class SearchSection:
    """The upper half: a phrase, and the images that fit it."""

    def __init__(self, examples: Sequence[str]) -> None:
        with gr.Row(elem_classes="ask"):
            self.query = gr.Textbox(
                label="Look for", placeholder=examples[0], max_length=LONGEST, elem_id="query"
            )
            self.button = gr.Button("Search", variant="primary", scale=0, min_width=110)
        with gr.Row(elem_classes="examples"):
            self.examples = [gr.Button(text, size="sm") for text in examples]
        self.message = gr.HTML(elem_classes="message")
        self.tiles = gallery("Images found", "found")
        self.strength = gr.Slider(
            maximum=1,
            value=OPACITY,
            step=0.05,
            label="Strength of the heat maps",
            buttons=[],
            elem_id="strength",
        )
        self.views = gr.State([])
        self.outputs = [self.message, self.tiles, self.views]


class CloserSection:
    """The lower half: one image, where phrases are in it, and captions that fit it."""

    def __init__(self) -> None:
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                self.picture = gr.Image(
                    label="The image",
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    elem_id="picture",
                )
                self.file = gr.File(
                    label="Upload an image", file_types=["image"], height=120, elem_id="upload"
                )
            with gr.Column(scale=2, min_width=300):
                with gr.Row(elem_classes="ask"):
                    self.phrases = gr.Textbox(
                        label="Where is …",
                        placeholder="a dog, a pizza",
                        max_lines=4,
                        max_length=LONGEST,
                        elem_id="phrases",
                    )
                    self.button = gr.Button("Ask", variant="primary", scale=0, min_width=90)
                self.message = gr.HTML(elem_classes="message")
                self.tiles = gallery("Where the phrases are", "answers")
                self.captions = gr.HTML(elem_classes="captions")
        self.image, self.views = gr.State(), gr.State([])
        self.choice = [self.message, self.image, self.picture, self.captions]
        self.outputs = [self.message, self.tiles, self.views]


def connect(upper: SearchSection, closer: CloserSection, handlers: Handlers) -> None:
    """Say what answers to what."""
    found: dict[str, Any] = {"inputs": [upper.query, upper.strength], "outputs": upper.outputs}
    found["show_progress_on"] = upper.message
    gr.on([upper.query.submit, upper.button.click], handlers.search, **found)
    for example in upper.examples:
        example.click(str, example, upper.query).then(handlers.search, **found)

    asked: dict[str, Any] = {
        "inputs": [closer.phrases, closer.image, upper.strength],
        "outputs": closer.outputs,
    }
    chosen: dict[str, Any] = {"outputs": closer.choice}
    asked["show_progress_on"] = chosen["show_progress_on"] = closer.message
    gr.on([closer.phrases.submit, closer.button.click], handlers.ask, **asked)
    upper.tiles.select(handlers.choose, upper.views, **chosen).then(
        handlers.ask_again, **asked
    ).then(js=FOCUS)
    # The file goes at the end, so that the next one can be dropped in its place.
    closer.file.upload(handlers.upload, closer.file, **chosen).then(
        handlers.ask_again, **asked
    ).then(lambda: None, None, closer.file)
    upper.strength.input(
        blend,
        [upper.strength, upper.views, closer.views],
        [upper.tiles, closer.tiles],
        trigger_mode="always_last",
        show_progress="hidden",
    )


def build_page(explorer: Explorer) -> gr.Blocks:
    """Lay out the page and connect it to what answers."""
    handlers = Handlers(explorer)
    # Pictures on the page are temporary files, which go after an hour.
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as opened:
        gr.Markdown(INTRODUCTION)
        upper = SearchSection(explorer.gallery.examples)
        gr.Markdown(CLOSER)
        connect(upper, CloserSection(), handlers)
        opened.load(handlers.begin, None, upper.outputs)
    page: gr.Blocks = opened
    return page


def serve(page: gr.Blocks, host: str, port: int) -> str:
    """Start to serve the page from this process, and return its address."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # launch() asks itself whether it is up
    url: str
    _, url, _ = page.launch(
        server_name=f"[{host}]" if ":" in host else host,
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
