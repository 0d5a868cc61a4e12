"""The plain twins of localisation: one heat map, one box, one mask at a time."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from misc.data.outlines import InstanceImage, category_masks


def heat_map(maps: Tensor, weight: Tensor, text: Tensor, num_components: int) -> Tensor:
    """Compute one heat map (h, w) from unprojected maps (D, h, w): project all, choose some."""
    projected = F.conv2d(maps[None], weight[:, :, None, None])[0]
    chosen = text.argsort(descending=True)[:num_components]
    return (text[chosen].abs()[:, None, None] * projected[chosen]).sum(dim=0)


def peak(heat: Tensor, image_size: tuple[int, int], shift: float) -> tuple[float, float]:
    """Find the highest cell; ``shift`` is 0 for its upper-left corner, 0.5 for its centre."""
    height, width = heat.shape
    row, column = divmod(heat.argmax().item(), width)
    return (column + shift) * image_size[0] / width, (row + shift) * image_size[1] / height


def smooth(heat: Tensor, sigma: float) -> Tensor:
    """Blur a heat map (h, w) by a Gaussian of a share of its sides; nothing is beyond it."""
    height, width = heat.shape
    size = 2 * width - 1, 2 * height - 1  # as far as any cell is from any other
    shifted = (heat - heat.min()).numpy()
    blurred = cv2.GaussianBlur(
        shifted, size, sigma * width, sigmaY=sigma * height, borderType=cv2.BORDER_CONSTANT
    )
    return torch.from_numpy(blurred)


def inside(point: tuple[float, float], box: Sequence[float]) -> bool:
    x, y, width, height = box
    return x < point[0] < x + width and y < point[1] < y + height


def mask(heat: Tensor, image_size: tuple[int, int], threshold: float) -> Tensor:
    width, height = image_size
    shifted = (heat - heat.min())[None, None]
    resized = F.interpolate(shifted, size=(height, width), mode="bilinear")[0, 0]
    return resized > threshold * (resized.max() - resized.min())


def overlaps(image: InstanceImage, heats: Sequence[Tensor], threshold: float) -> list[list[float]]:
    """Compare masks and outlines: our masks, the published ones and the whole image."""
    categories, targets = category_masks(image)
    found = []
    published = category_masks(image, published=True)[1]
    for place, category in enumerate(categories):
        drawn = published[place].numpy().astype(np.uint8)
        small = torch.from_numpy(cv2.resize(drawn, (200, 200), interpolation=cv2.INTER_NEAREST)) > 0
        found.append(
            [
                overlap(mask(heats[category], image.size, threshold), targets[place]),
                overlap(mask(heats[category], (200, 200), threshold), small),
                targets[place].float().mean().item(),
            ]
        )
    return found


def overlap(mask: Tensor, target: Tensor) -> float:
    return ((mask & target).sum() / (mask | target).sum().clamp(min=1)).item()
