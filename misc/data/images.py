"""Images in batches, each read once, in order."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from misc.data.decoding import load_image
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.loaders import read_ahead

BATCHES_AHEAD = 2  # that are read while one is in use


@dataclasses.dataclass
class ImageBatch:
    """Images that could be read, and those that could not."""

    indices: list[int]  # places of the images in the list that was asked for
    images: Tensor  # (B, 3, H, W), normalised, or what else the transform makes of them
    failures: list[Failure]

    def pin_memory(self) -> "ImageBatch":
        """Pin the images, so that a GPU can fetch them by itself."""
        self.images = self.images.pin_memory()
        return self


ImageItem = tuple[int, Tensor]
Transform = Callable[[Image.Image], Tensor]


def image_loader(
    paths: Sequence[Path],
    transform: Transform | Sequence[Transform],
    batch_size: int,
    workers: int,
    device: torch.device,
) -> Generator[ImageBatch, None, None]:
    """Load images in order, as ``ImageBatch``; an unreadable one is a ``Failure`` of its batch.

    Args:
        paths: image files, each of which is read once.
        transform: of all images, or one for each; free to run in several threads.
        batch_size: images in a batch.
        workers: threads that read; 0 reads in this one.
        device: where batches go; for CUDA they are pinned.
    """

    def load(index: int) -> ImageItem:
        change = transform if callable(transform) else transform[index]
        return index, change(load_image(paths[index]))

    def read(index: int) -> ImageItem | Failure:
        return read_item(index, str(paths[index]), functools.partial(load, index))

    items = read_ahead(read, range(len(paths)), workers, BATCHES_AHEAD * batch_size)
    while read_items := list(itertools.islice(items, batch_size)):
        batch = collate_images(read_items)
        yield batch.pin_memory() if device.type == "cuda" else batch


def collate_images(items: Sequence[ImageItem | Failure]) -> ImageBatch:
    """Stack the images that could be read."""
    read, failures = apart(items)
    images = torch.stack([image for _, image in read]) if read else torch.empty(0, 3, 1, 1)
    return ImageBatch([item[0] for item in read], images, failures)
