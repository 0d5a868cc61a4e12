"""Torch data set of images, each read once, in order."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from misc.data.decoding import load_image
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.loaders import loader, pixel_bytes


@dataclasses.dataclass
class ImageBatch:
    """Images that could be read, and those that could not."""

    indices: list[int]  # places of the images in the list that was asked for
    images: Tensor  # (B, 3, H, W), normalised
    failures: list[Failure]

    def pin_memory(self) -> "ImageBatch":
        """Pin the images, as ``DataLoader`` asks of batches of a class of their own."""
        self.images = self.images.pin_memory()
        return self


ImageItem = tuple[int, Tensor]


class ImageDataset(Dataset[ImageItem | Failure]):
    """Image files, each read once; an unreadable one becomes a ``Failure``, not an exception."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> ImageItem | Failure:
        def read() -> ImageItem:
            return index, self.transform(load_image(self.paths[index]))

        return read_item(index, str(self.paths[index]), read)


def collate_images(items: list[ImageItem | Failure]) -> ImageBatch:
    """Stack the images that could be read."""
    read, failures = apart(items)
    images = torch.stack([image for _, image in read]) if read else torch.empty(0, 3, 1, 1)
    return ImageBatch([item[0] for item in read], images, failures)


def image_loader(
    paths: Sequence[Path],
    transform: Callable[[Image.Image], Tensor],
    batch_size: int,
    workers: int,
    image_size: int,
    device: torch.device,
) -> DataLoader[Any]:
    """Load images in order, as ``ImageBatch``.

    Args:
        paths: image files.
        transform: of each image.
        batch_size: images in a batch.
        workers: processes that read; 0 reads in this one.
        image_size: side of what ``transform`` gives, in pixels.
        device: where batches go.
    """
    size = batch_size * pixel_bytes(image_size)
    dataset = ImageDataset(paths, transform)
    return loader(dataset, workers, device, collate_images, size, batch_size=batch_size)
