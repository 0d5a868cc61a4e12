"""Pictures of heat maps and of training: the only place that draws."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont, ImageOps

from misc.pictures.curves import DIRECTIONS, RECALLS

if TYPE_CHECKING:  # curves, and --help, need no torch
    from matplotlib.axes import Axes
    from torch import Tensor

COLORMAP = "inferno"  # perceptually uniform: from dark to bright, whatever the reader's eyes
COLUMNS = 4  # tiles in a row of a panel
GAP = 8  # pixels around tiles and titles
SHEET_TILE = 224  # side in pixels of the squares of a contact sheet
# Of Okabe and Ito: told apart by colour-blind readers, and in grey, too.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
MARKED_EPOCHS = 20  # with more of them, a dot for each would hide the lines


def colorize(heat_map: Tensor, size: tuple[int, int]) -> Image.Image:
    """Stretch a heat map (h, w) to the colour map's range and to a size (width, height).

    A flat heat map, which says nothing, is all in the colour of the lowest value.
    """
    import torch.nn.functional as F

    width, height = size
    shifted = (heat_map - heat_map.min()).float().cpu()
    highest = shifted.max()
    stretched = shifted / highest if highest > 0 else shifted
    resized = F.interpolate(stretched[None, None], size=(height, width), mode="bilinear")[0, 0]
    colors = mpl.colormaps[COLORMAP](resized.numpy(), bytes=True)  # (height, width, 4)
    return Image.fromarray(np.ascontiguousarray(colors[..., :3]))


def overlay(image: Image.Image, heat_map: Tensor, opacity: float = 0.6) -> Image.Image:
    """Lay a heat map (h, w) over an RGB image, which keeps its size.

    The image becomes grey, so that all colour is heat.
    """
    grey = image.convert("L").convert("RGB")
    return Image.blend(grey, colorize(heat_map, image.size), opacity)


def mark_peak(image: Image.Image, point: Sequence[float]) -> None:
    """Draw a ring and a dot at a point (x, y) in pixels; white in black is seen on any ground."""
    x, y = point
    radius = max(4, min(image.size) / 30)
    width = max(1, round(radius / 4))
    draw = ImageDraw.Draw(image)
    for color, margin in (("black", width), ("white", 0)):
        for extent, line in ((radius, width + 2 * margin), (radius / 4, None)):
            reach = extent + margin
            circle = (x - reach, y - reach, x + reach, y + reach)
            if line is None:
                draw.ellipse(circle, fill=color)
            else:
                draw.ellipse(circle, outline=color, width=line)


def mark_box(image: Image.Image, box: Sequence[float]) -> None:
    """Draw a box (x, y, width, height) in pixels, white in black."""
    x, y, width, height = box
    line = max(1, min(image.size) // 150)
    draw = ImageDraw.Draw(image)
    for color, inset, thickness in (("black", 0, 3 * line), ("white", line, line)):
        corners = (x + inset, y + inset, x + width - 1 - inset, y + height - 1 - inset)
        if corners[0] < corners[2] and corners[1] < corners[3]:
            draw.rectangle(corners, outline=color, width=thickness)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Matplotlib brings a font along that has Greek, Cyrillic and more; Pillow's own has not.
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _wrapped(title: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Break a title into lines that are not wider than so many pixels, as far as words allow."""
    characters = max(int(width / font.getlength("n")), 1)
    return "\n".join(textwrap.wrap(title, characters))


def panel(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Set out images of one size, each below its title, on white; the images keep their size."""
    width, height = tiles[0][1].size
    font = _font(max(12, min(width, height) // 18))
    titles = [_wrapped(title, width, font) for title, _ in tiles]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    head = max(measure.multiline_textbbox((0, 0), text, font)[3] for text in titles) + GAP
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    size = (columns * (width + GAP) + GAP, rows * (head + height + GAP) + GAP)
    picture = Image.new("RGB", [round(side) for side in size], "white")
    draw = ImageDraw.Draw(picture)
    for place, (title, (_, tile)) in enumerate(zip(titles, tiles, strict=True)):
        x = GAP + place % columns * (width + GAP)
        y = round(GAP + place // columns * (head + height + GAP))
        draw.multiline_text((x, y), title, fill="black", font=font)
        picture.paste(tile, (x, y + round(head)))
    return picture


def contact_sheet(groups: Sequence[tuple[str, Sequence[tuple[str, Image.Image]]]]) -> Image.Image:
    """Set out groups of images of any sizes below each other, each group below its heading.

    Args:
        groups: heading, and titles with their images, which are fitted into squares.
    """
    square = (SHEET_TILE, SHEET_TILE)
    panels = [
        panel([(title, ImageOps.pad(image, square, color="white")) for title, image in tiles])
        for _, tiles in groups
    ]
    width = max(picture.width for picture in panels)
    font = _font(SHEET_TILE // 12)
    headings = [_wrapped(heading, width - 2 * GAP, font) for heading, _ in groups]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    heads = [
        round(measure.multiline_textbbox((0, 0), text, font)[3]) + 2 * GAP for text in headings
    ]
    height = sum(heads) + sum(picture.height for picture in panels)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = 0
    for heading, head, picture in zip(headings, heads, panels, strict=True):
        draw.multiline_text((GAP, y + GAP), heading, fill="black", font=font)
        sheet.paste(picture, (0, y + head))
        y += head + picture.height
    return sheet


def localization_panel(
    image: Image.Image,
    title: str,
    phrases: Sequence[str],
    heat_maps: Tensor,
    points: Tensor,
    boxes: Tensor | None = None,
) -> Image.Image:
    """Show an image and, for each phrase, where it is in the image.

    Args:
        image: RGB.
        title: of the image itself.
        phrases: M of them.
        heat_maps: (M, h, w).
        points: (M, 2), the peaks, x and y in pixels of the image.
        boxes: (M, 4), x, y, width and height in pixels; ``None`` draws no boxes.
    """
    tiles = [(title, image)]
    for place, phrase in enumerate(phrases):
        tile = overlay(image, heat_maps[place])
        if boxes is not None:
            mark_box(tile, boxes[place].tolist())
        mark_peak(tile, points[place].tolist())
        tiles.append((phrase, tile))
    return panel(tiles)


def _plot(axis: Axes, title: str, epochs: Sequence[float], lines: Mapping[str, tuple]) -> None:
    """Plot lines, each a colour and a value an epoch by its name, into one panel of a figure."""
    style = "o-" if len(epochs) <= MARKED_EPOCHS else "-"
    for name, (color, values) in lines.items():
        axis.plot(epochs, values, style, color=color, markersize=4, label=name)
    axis.set_title(title)
    axis.set_xlabel("epoch")
    axis.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def draw_curves(records: Sequence[Mapping[str, float]], title: str) -> Image.Image:
    """Draw how a training went, over its epochs: loss, learning rate and recalls.

    Args:
        records: one an epoch, with the keys of ``log.jsonl``.
        title: of the picture.
    """

    def line(key: str, color: str) -> tuple[str, list[float]]:
        return color, [record[key] for record in records]

    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    figure.suptitle(title)
    loss, rate, *recalls = figure.subplots(2, 2).flat
    _plot(loss, "training loss", epochs, {"loss": line("loss", BLUE)})
    _plot(rate, "learning rate", epochs, {"rate": line("learning_rate", BLUE)})
    for axis, (direction, name) in zip(recalls, DIRECTIONS.items(), strict=True):
        colors = zip(RECALLS, (BLUE, ORANGE, GREEN), strict=True)
        lines = {recall: line(f"{direction}/{recall}", color) for recall, color in colors}
        _plot(axis, f"recall in validation, {name}, percent", epochs, lines)
        axis.set_ylim(0, 103)
        axis.legend()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


if __name__ == "__main__":
    from misc.cli import run
    from misc.pictures.curves import get_parser, main

    run(main, get_parser())
