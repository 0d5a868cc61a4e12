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
