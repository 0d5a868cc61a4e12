"""Images in, normalised tensors out."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # ModelConfig.image_statistics
_SHAPES = math.log(4 / 3)  # crops are up to 4 : 3 or 3 : 4


def evaluation_transform(size: int, statistics: Statistics) -> v2.Compose:
    """Squeeze a PIL image to ``size`` x ``size`` pixels: normalised tensor (3, size, size)."""
    return v2.Compose([v2.Resize((size, size)), _normalization(statistics)])


def training_transform(
    size: int, min_scale: float, flip: bool, statistics: Statistics
) -> v2.Compose:
    """Crop at random, resize to ``size`` x ``size`` pixels and, if ``flip``, mirror every other.

    Args:
        size: side of the crop after resizing, in pixels.
        min_scale: the smallest share of the image's area that a crop may have.
        flip: False where captions speak of left and right.
        statistics: mean and standard deviation by which the model wants images normalised.
    """
    crop = v2.RandomResizedCrop((size, size), scale=(min_scale, 1.0))
    mirror = [v2.RandomHorizontalFlip()] if flip else []
    return v2.Compose([crop, *mirror, _normalization(statistics)])


class Views(NamedTuple):
    """Which views of an image are computed besides the whole of it, which is always the first."""

    crops: int = 0
    min_scale: float = 1.0  # the smallest share of the image's area that a crop may have
    flip: bool = False  # the whole image mirrored, too, and about every other crop

    @property
    def number(self) -> int:
        """Count all views."""
        return 1 + self.flip + self.crops


def views_of(
    image: Image.Image, size: int, views: Views, statistics: Statistics, seed: int
) -> Tensor:
    """Squeeze a PIL image, and crops of it, to squares: normalised (views.number, 3, size, size).

    Shapes of crops vary as those of ``training_transform`` do, around that of the image. It draws
    from no generator of others, so it is free to run in several threads.

    Args:
        image: an RGB image.
        size: side of the squares, in pixels.
        views: the whole image and which others.
        statistics: mean and standard deviation by which the model wants images normalised.
        seed: of the crops.
    """
    generator = np.random.default_rng(seed)
    boxes = [(0.0, 0.0, 1.0, 1.0)] * (1 + views.flip)
    boxes += [_crop(views.min_scale, generator) for _ in range(views.crops)]
    mirrored = [False, True][: 1 + views.flip]
    mirrored += [views.flip and generator.random() < 0.5 for _ in range(views.crops)]
    width, height = image.size
    found = []
    for (left, top, right, bottom), flip in zip(boxes, mirrored, strict=True):
        box = left * width, top * height, right * width, bottom * height
        square = image.resize((size, size), Image.Resampling.BILINEAR, box)
        view = normalized(square, *statistics)
        found.append(view.flip(2) if flip else view)
    return torch.stack(found)


def _crop(min_scale: float, generator: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw a crop's left, top, right and bottom, as shares of the image's width and height."""
    area, shape = generator.uniform(min_scale, 1), math.exp(generator.uniform(-1, 1) * _SHAPES)
    width = min(1, max(area, math.sqrt(area * shape)))
    height = area / width
    left, top = generator.uniform(0, 1 - width), generator.uniform(0, 1 - height)
    return left, top, left + width, top + height


def _normalization(statistics: Statistics) -> functools.partial[Tensor]:
    mean, deviation = statistics
    return functools.partial(normalized, mean=mean, deviation=deviation)


def normalized(image: Image.Image, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Turn an RGB image into a normalised tensor (3, H, W), scaled and shifted in one go.

    By numpy, which computes in the thread that asks; torch would start several for each.
    """
    scale = np.array(deviation, np.float32)[:, None, None]
    shift = np.array(mean, np.float32)[:, None, None] / scale
    floats = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")
    floats *= 1 / (255 * scale)
    floats -= shift
    return torch.from_numpy(floats)
