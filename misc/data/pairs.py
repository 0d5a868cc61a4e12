"""Torch data sets and loaders: images once each, and image-caption pairs in random order."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from misc.config import TrainConfig
from misc.data.captioned_images import CaptionedImage
from misc.data.decoding import load_image
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.loaders import loader, pixel_bytes
from misc.runtime.seeds import mixed_seed, seed_generators
from misc.words.word_vectors import WordVectors, pad_texts


@dataclasses.dataclass
class PairBatch:
    """Image-caption pairs for training."""

    images: Tensor  # (B, 3, H, W), normalised
    vectors: Tensor  # (B, T, W), word vectors padded with zeros
    lengths: Tensor  # (B,)
    image_ids: Tensor  # (B,), equal for captions of the same image
    failures: list[Failure]

    def pin_memory(self) -> "PairBatch":
        """Pin the tensors, as ``DataLoader`` asks of batches of a class of their own."""
        for name in ("images", "vectors", "lengths", "image_ids"):
            setattr(self, name, getattr(self, name).pin_memory())
        return self

    def to(self, device: torch.device) -> "PairBatch":
        """Copy the tensors to a device, without waiting for it."""
        tensors = (self.images, self.vectors, self.lengths, self.image_ids)
        images, vectors, lengths, ids = (x.to(device, non_blocking=True) for x in tensors)
        return PairBatch(images, vectors, lengths, ids, self.failures)

    def __len__(self) -> int:
        return len(self.image_ids)

    def chunks(self, size: int) -> list["PairBatch"]:
        """Cut into batches of ``size`` pairs, the last of which may be smaller; at least one."""
        tensors = (self.images, self.vectors, self.lengths, self.image_ids)
        parts = zip(*(tensor.split(size) for tensor in tensors), strict=True)
        return [
            PairBatch(images, vectors, lengths, ids, []) for images, vectors, lengths, ids in parts
        ]


PairItem = tuple[Tensor, Tensor, int]


class Features(Protocol):
    """Where features of images come from: ``misc.training.feature_cache.FeatureCache``."""

    @property
    def item_bytes(self) -> int:
        """Size of those of an image."""

    def load(self, index: int, mirrored: bool) -> Tensor:
        """Read those of an image, (C, h, w); ``ValueError`` if there are none."""


class PairDataset(Dataset["PairItem | Failure"]):
    """All image-caption pairs, augmented at random but the same for the same seed and epoch.

    The random numbers of a pair depend on the seed, the epoch and the pair alone: not on the
    number of workers, nor on whether the epoch was interrupted.

    Args:
        images: with their captions.
        transform: augments an image and normalises it.
        word_vectors: of the captions.
        config: its seed, flip, word dropout and captions per image count here.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        transform: Callable[[Image.Image], Tensor],
        word_vectors: WordVectors,
        config: TrainConfig,
    ) -> None:
        self.images = images
        self.transform = transform
        self.word_vectors = word_vectors
        self.seed = config.seed
        self.flip = config.flip
        self.crop_size = config.crop_size
        self.word_dropout = config.word_dropout
        self.captions_per_image = config.captions_per_image
        self.features: Features | None = None  # taken instead of images, while there are any
        self.epoch = 0
        self.pairs = [
            (image, caption)
            for image, entry in enumerate(images)
            for caption in range(len(entry.captions))
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def item_bytes(self) -> int:
        """Size of what is loaded of an image, but for its few words."""
        return self.features.item_bytes if self.features else pixel_bytes(self.crop_size)

    def __getitem__(self, index: int) -> PairItem | Failure:
        image_index, caption_index = self.pairs[index]
        entry = self.images[image_index]

        def read() -> PairItem:
            tensor = self._picture(image_index)
            rows = self.word_vectors.rows(entry.captions[caption_index])
            vectors = self._drop_words(self.word_vectors.vectors(rows))
            return tensor, vectors, entry.image_id

        with torch.random.fork_rng(devices=[]):
            seed_generators(torch.device("cpu"), self.seed, self.epoch, index)
            return read_item(index, str(entry.path), read)

    def _picture(self, image_index: int) -> Tensor:
        """Augment an image, (3, H, W), or take its features, (C, h, w), mirrored or not."""
        if self.features is None:
            return self.transform(load_image(self.images[image_index].path))
        return self.features.load(image_index, self.flip and bool(torch.rand(()) < 0.5))

    def _drop_words(self, vectors: Tensor) -> Tensor:
        """Leave words (T, W) out at random, but not all of them."""
        kept = torch.rand(len(vectors)) >= self.word_dropout
        return vectors[kept] if kept.any() else vectors

    def batches(self, batch_size: int, start: int = 0) -> list[list[int]]:
        """Shuffle this epoch's pairs into whole batches; what is left over waits for another.

        Args:
            batch_size: pairs in a batch.
            start: how many of the shuffled pairs are passed over, having been trained on.

        Raises:
            ValueError: if there are fewer pairs than fit in a batch.
        """
        if len(self) < batch_size:
            raise ValueError(
                f"{len(self)} training pairs do not fill a batch of {batch_size}; "
                "use a smaller --batch-size"
            )
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = self._order(generator)
        starts = range(start, len(order) - batch_size + 1, batch_size)
        return [order[first : first + batch_size] for first in starts]

    def _order(self, generator: torch.Generator) -> list[int]:
        """Shuffle the pairs, those of an image in groups of up to ``captions_per_image``."""
        order = torch.randperm(len(self), generator=generator).tolist()
        size = self.captions_per_image
        if size == 1:
            return order
        of_images: dict[int, list[int]] = {}
        for pair in order:
            of_images.setdefault(self.pairs[pair][0], []).append(pair)
        groups = [
            pairs[start : start + size]
            for pairs in of_images.values()
            for start in range(0, len(pairs), size)
        ]
        shuffled = torch.randperm(len(groups), generator=generator).tolist()
        return [pair for group in shuffled for pair in groups[group]]


def collate_pairs(items: list[PairItem | Failure]) -> PairBatch:
    """Stack the pairs that could be read."""
    read, failures = apart(items)
    if not read:
        empty = torch.empty(0)
        return PairBatch(empty, empty, empty, empty, failures)
    images, vectors, image_ids = zip(*read, strict=True)
    return PairBatch(
        torch.stack(images), *pad_texts(vectors), torch.tensor(image_ids), failures=failures
    )


def pair_loader(
    dataset: PairDataset, batches: list[list[int]], workers: int, device: torch.device
) -> DataLoader[Any]:
    """Load given batches of training pairs, in order, as ``PairBatch``.

    Args:
        dataset: of all pairs.
        batches: places of the pairs of each.
        workers: processes that read; 0 reads in this one.
        device: where batches go.
    """
    size = max(map(len, batches), default=0) * dataset.item_bytes
    return loader(dataset, workers, device, collate_pairs, size, batch_sampler=batches)
