"""Images in, normalised tensors out."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # ModelConfig.image_statistics


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
