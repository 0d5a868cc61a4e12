"""Torch data sets and loaders: images once each, and image-caption pairs in random order."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from misc.data.captions import CaptionedImage
from misc.config import DataPaths, TrainConfig, default_data_root
from misc.runtime.device import ignore_signals, mixed_seed, seed_generators
from misc.runtime.distributed import main_first
from misc.toy.dataset import ensure_toy
from misc.data.transforms import load_image
from misc.words.word_vectors import WordVectors, pad_texts

logger = logging.getLogger(__name__)


def data_paths(root: Path, dataset: str, captions: str = "", images: str = "") -> DataPaths:
    """Say where a data set's files are; the toy set, a data root of its own, is built if need be.

    Args:
        root: the data root.
        dataset: one of ``misc.config.DATASETS``.
        captions: of the data set "captions", as for ``misc.data.own_captions.read_caption_file``.
        images: the folder of its images.
    """
    if dataset == "toy":
        with main_first():
            return DataPaths(ensure_toy(root), "coco")
    return DataPaths(root, dataset, own_captions=captions, own_images=images)


def find_word_vectors(
    chosen: str,
    paths: DataPaths,
    recorded: str = "",
    dimension: int | None = None,
    fingerprint: str = "",
) -> WordVectors:
    """Open the word vectors that a user chose, else those of training, else the data root's.

    Args:
        chosen: a folder, or "glove" for the built-in GloVe; "" if the user chose none.
        paths: of the data set at hand.
        recorded: what the model was trained with, as ``chosen``; "" if that is not known. A
            folder that is not on this machine is passed over.
        dimension: W that the model needs; ``None`` takes any.
        fingerprint: that of the word vectors of training; others are used with a warning. "" if
            it is not known.

    Raises:
        FileNotFoundError: if there are no word vectors.
        ValueError: if they have another dimension than the model needs.
    """
    if not chosen and (recorded == "glove" or (recorded and Path(recorded).exists())):
        chosen = recorded
    if chosen == "glove" and not (paths.root / "toy.json").exists():  # a toy root has its own
        with main_first():
            folder = ensure_toy(default_data_root()) / "word_vectors"
    else:
        folder = Path(chosen) if chosen not in ("", "glove") else paths.word_vectors
    word_vectors = WordVectors.load(folder)
    if dimension not in (None, word_vectors.dimension):
        raise ValueError(
            f"the model needs word vectors of {dimension} dimensions, and those in {folder} have "
            f"{word_vectors.dimension}; --word-vectors names another folder"
        )
    if fingerprint and word_vectors.fingerprint() != fingerprint:
        logger.warning(
            "the word vectors in %s are not those that the model was trained with, so texts may "
            "mean nothing to it; --word-vectors names another folder",
            folder,
        )
    return word_vectors


@dataclasses.dataclass(frozen=True)
class Failure:
    """An item that could not be read, by its place in the list that was asked for."""

    index: int
    name: str
    reason: str


@dataclasses.dataclass
class ImageBatch:
    """Images that could be read, and those that could not."""

    indices: list[int]  # places of the images in the list that was asked for
    images: Tensor  # (B, 3, H, W), normalised
    sizes: list[tuple[int, int]]  # (width, height) of each file in pixels, upright
    failures: list[Failure]

    def pin_memory(self) -> "ImageBatch":
        """Pin the images, as ``DataLoader`` asks of batches of a class of their own."""
        self.images = self.images.pin_memory()
        return self


ImageItem = tuple[int, Tensor, tuple[int, int]]


class ImageDataset(Dataset):
    """Image files, each read once; an unreadable one becomes a ``Failure``, not an exception."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> ImageItem | Failure:
        try:
            image = load_image(self.paths[index])
        except ValueError as error:
            return Failure(index, str(self.paths[index]), str(error))
        return index, self.transform(image), image.size


def collate_images(items: list[ImageItem | Failure]) -> ImageBatch:
    """Stack the images that could be read."""
    failures = [item for item in items if isinstance(item, Failure)]
    read = [item for item in items if not isinstance(item, Failure)]
    images = torch.stack([image for _, image, _ in read]) if read else torch.empty(0, 3, 1, 1)
    return ImageBatch([item[0] for item in read], images, [item[2] for item in read], failures)


def image_loader(
    paths: Sequence[Path],
    transform: Callable[[Image.Image], Tensor],
    batch_size: int,
    workers: int,
) -> DataLoader:
    """Load images in order, as ``ImageBatch``."""
    return DataLoader(
        ImageDataset(paths, transform),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate_images,
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )


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
        moved = (tensor.to(device, non_blocking=True) for tensor in tensors)
        return PairBatch(*moved, failures=self.failures)

    def __len__(self) -> int:
        return len(self.image_ids)

    def chunks(self, size: int) -> list["PairBatch"]:
        """Cut into batches of ``size`` pairs, the last of which may be smaller; at least one."""
        tensors = (self.images, self.vectors, self.lengths, self.image_ids)
        parts = zip(*(tensor.split(size) for tensor in tensors), strict=True)
        return [PairBatch(*part, failures=[]) for part in parts]


PairItem = tuple[Tensor, Tensor, int]


class Features(Protocol):
    """Where features of images come from: ``misc.training.feature_cache.FeatureCache``."""

    def load(self, index: int, mirrored: bool) -> Tensor:
        """Read those of an image, (C, h, w); ``ValueError`` if there are none."""


class PairDataset(Dataset):
    """All image-caption pairs, augmented at random but the same for the same seed and epoch.

    The random numbers of a pair depend on the seed, the epoch and the pair alone: not on the
    number of workers, nor on whether the epoch was interrupted.

    Args:
        images: with their captions.
        transform: augments an image and normalises it.
        word_vectors: of the captions.
        config: its seed, flip, caption crops, word dropout and captions per image count here.
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
        self.caption_crops = config.caption_crops
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

    def __getitem__(self, index: int) -> PairItem | Failure:
        image_index, caption_index = self.pairs[index]
        entry = self.images[image_index]
        with torch.random.fork_rng(devices=[]):
            seed_generators(torch.device("cpu"), self.seed, self.epoch, index)
            try:
                tensor = self._picture(image_index)
                rows = self.word_vectors.rows(entry.captions[caption_index])
            except ValueError as error:
                return Failure(index, str(entry.path), str(error))
            vectors = self._drop_words(self._crop(self.word_vectors.vectors(rows)))
        return tensor, vectors, entry.image_id

    def _picture(self, image_index: int) -> Tensor:
        """Augment an image, (3, H, W), or take its features, (C, h, w), mirrored or not."""
        if self.features is None:
            return self.transform(load_image(self.images[image_index].path))
        return self.features.load(image_index, self.flip and bool(torch.rand(()) < 0.5))

    def _crop(self, vectors: Tensor) -> Tensor:
        """Take a run of the words (T, W) at random, or all."""
        if not self.caption_crops or torch.rand(()) >= self.caption_crops:
            return vectors
        length = int(torch.randint(1, len(vectors) + 1, ()))
        start = int(torch.randint(len(vectors) - length + 1, ()))
        return vectors[start : start + length]

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
    failures = [item for item in items if isinstance(item, Failure)]
    read = [item for item in items if not isinstance(item, Failure)]
    if not read:
        empty = torch.empty(0)
        return PairBatch(empty, empty, empty, empty, failures)
    images, vectors, image_ids = zip(*read, strict=True)
    return PairBatch(
        torch.stack(images), *pad_texts(vectors), torch.tensor(image_ids), failures=failures
    )


def pair_loader(dataset: PairDataset, batches: list[list[int]], workers: int) -> DataLoader:
    """Load given batches of training pairs, in order, as ``PairBatch``."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate_pairs,
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )
