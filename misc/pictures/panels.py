"""Images set out below their titles."""

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from misc.pictures.heat_maps import OPACITY, mark_box, mark_peaks, overlay
from misc.pictures.presence import strength, titled

COLUMNS = 4  # tiles in a row of a panel
GAP = 8  # pixels around tiles and titles
SHEET_TILE = 224  # side in pixels of the squares of a contact sheet


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Matplotlib brings a font along that has Greek, Cyrillic and more; Pillow's own has not.
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _wrapped(title: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Break a title into lines that are not wider than so many pixels, as far as words allow."""
    characters = max(int(width / font.getlength("n")), 1)
    return "\n".join(textwrap.wrap(title, characters))


def panel(tiles: Sequence[tuple[str, Image.Image]], in_row: int = COLUMNS) -> Image.Image:
    """Set out images of one size, each below its title, on white; the images keep their size."""
    width, height = tiles[0][1].size
    font = _font(max(12, min(width, height) // 18))
    titles = [_wrapped(title, width, font) for title, _ in tiles]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    head = max(measure.multiline_textbbox((0, 0), text, font)[3] for text in titles) + GAP
    columns = min(in_row, len(tiles))
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


def contact_sheet(
    groups: Sequence[tuple[str, Sequence[tuple[str, Image.Image]]]],
    tile_size: tuple[int, int] = (SHEET_TILE, SHEET_TILE),
    in_row: int = COLUMNS,
) -> Image.Image:
    """Set out groups of images of any sizes below each other, each group below its heading.

    Args:
        groups: heading, and titles with their images, which are fitted into tiles.
        tile_size: (width, height) in pixels.
        in_row: most tiles in a row.
    """
    padded = [
        [(title, ImageOps.pad(image, tile_size, color="white")) for title, image in tiles]
        for _, tiles in groups
    ]
    panels = [panel(tiles, in_row) for tiles in padded]
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
    percents: Sequence[float],
    boxes: Tensor | None = None,
) -> Image.Image:
    """Show an image and, for each phrase, where it is in the image.

    Args:
        image: RGB.
        title: of the image itself.
        phrases: M of them.
        heat_maps: (M, h, w).
        points: (M, 2, 2), the peaks, of which the first gets a dot and the second a ring, x and
            y in pixels of the image.
        percents: M, of other images that fit the phrases less; NaN where that is unknown.
        boxes: (M, 4), x, y, width and height in pixels; ``None`` draws no boxes.
    """
    tiles = [(title, image)]
    for place, (phrase, percent) in enumerate(zip(phrases, percents, strict=True)):
        tile = overlay(image, heat_maps[place], OPACITY * strength(percent))
        if boxes is not None:
            mark_box(tile, boxes[place].tolist())
        mark_peaks(tile, *points[place].tolist())
        tiles.append((titled(phrase, percent), tile))
    return panel(tiles)
