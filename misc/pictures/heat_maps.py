"""Heat maps over images, with their peaks and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:  # curves, and --help, need no torch
    from torch import Tensor


COLORMAP = "inferno"  # perceptually uniform: from dark to bright, whatever the reader's eyes
OPACITY = 0.65  # of the hottest place, so that the image shines through
FALL = 1.5  # power of the heat that the opacity follows: with 1, all but the coldest is tinged


def colorize(heat_map: Tensor, size: tuple[int, int], opacity: float) -> Image.Image:
    """Turn a heat map (h, w) into a layer of a size (width, height): RGBA.

    The map is stretched to the colour map's range. The lowest value is transparent, the highest has
    the ``opacity``; a flat heat map, which says nothing, is not seen.
    """
    import torch.nn.functional as F

    width, height = size
    shifted = (heat_map - heat_map.min()).float().cpu()
    highest = shifted.max()
    stretched = shifted / highest if highest > 0 else shifted
    resized = F.interpolate(stretched[None, None], size=(height, width), mode="bilinear")[0, 0]
    colors = mpl.colormaps[COLORMAP](resized.numpy(), bytes=True)  # (height, width, 4)
    colors[..., 3] = (255 * opacity * resized**FALL).round().numpy()
    return Image.fromarray(np.ascontiguousarray(colors))


def overlay(image: Image.Image, heat_map: Tensor, opacity: float = OPACITY) -> Image.Image:
    """Lay a heat map (h, w) over an RGB image, which stays as it is where it is cold.

    An ``opacity`` of 0 leaves the image as it is.
    """
    layer = colorize(heat_map, image.size, opacity)
    picture = image.copy()
    picture.paste(layer, mask=layer)
    return picture


def mark_peaks(image: Image.Image, dot: Sequence[float], ring: Sequence[float]) -> None:
    """Draw a dot and a ring at points (x, y) in pixels; white in black is seen on any ground."""
    radius = max(4, min(image.size) / 30)
    width = max(1, round(radius / 4))
    draw = ImageDraw.Draw(image)
    for color, margin in (("black", width), ("white", 0)):
        draw.ellipse(_circle(ring, radius + margin), outline=color, width=width + 2 * margin)
        draw.ellipse(_circle(dot, radius / 4 + margin), fill=color)


def _circle(point: Sequence[float], radius: float) -> tuple[float, float, float, float]:
    x, y = point
    return x - radius, y - radius, x + radius, y + radius


def mark_box(image: Image.Image, box: Sequence[float]) -> None:
    """Draw a box (x, y, width, height) in pixels, white in black."""
    x, y, width, height = box
    line = max(1, min(image.size) // 150)
    draw = ImageDraw.Draw(image)
    for color, inset, thickness in (("black", 0, 3 * line), ("white", line, line)):
        corners = (x + inset, y + inset, x + width - 1 - inset, y + height - 1 - inset)
        if corners[0] < corners[2] and corners[1] < corners[3]:
            draw.rectangle(corners, outline=color, width=thickness)
