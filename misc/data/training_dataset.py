"""Images with captions for training, in random order: pairs, or each image once."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from misc.config import TrainConfig
from misc.data.caption_phrases import CaptionPhrases
from misc.data.captioned_images import CaptionedImage
from misc.data.decoding import load_image
from misc.data.training_batches import TrainingBatch, TrainingItem, collate
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.loaders import loader, pixel_bytes, read_ahead
from misc.runtime.seeds import mixed_seed, seed_generators
from misc.words.token_vectors import TokenVectors, required


class Features(Protocol):
    """Where features of images come from: ``misc.training.feature_cache.FeatureCache``."""

    @property
    def views(self) -> int:
        """Count the views of an image that there are."""

    def load(self, index: int, view: int = 0) -> Tensor:
        """Read those of a view of an image, (C, h, w); ``ValueError`` if there are none."""


class TrainingDataset(Dataset["TrainingItem | Failure"]):
    """Images with captions, augmented at random but the same for the same seed and epoch.

    An item is a pair of an image and a caption, as published; or, with ``images_per_batch``, an
    image and several captions. Its random numbers depend on the seed, the epoch and the item
    alone: not on the number of workers, nor on whether the epoch was interrupted.

    Args:
        images: with their captions.
        transform: augments an image and normalises it.
        word_vectors: of the captions.
        config: its seed, word dropout, and what a batch is made of count here.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        transform: Callable[[Image.Image], Tensor],
        word_vectors: TokenVectors,
        config: TrainConfig,
    ) -> None:
        self.images = images
        self.transform = transform
        self.word_vectors = word_vectors
        self.config = config
        self.phrases = CaptionPhrases(images) if config.location_phrases else None
        self.features: Features | None = None  # taken instead of images, while there are any
        self.epoch = 0
        self.items: list[tuple[int, Sequence[int]]] = []  # images, and captions of theirs
        for place, image in enumerate(images):
            captions = range(len(image.captions))
            together = config.images_per_batch and captions
            self.items += [(place, captions)] if together else [(place, [c]) for c in captions]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> TrainingItem | Failure:
        image = self.images[self.items[index][0]]
        return read_item(index, str(image.path), lambda: self._read(index))

    def _read(self, index: int) -> TrainingItem:
        place, captions = self.items[index]
        generator = torch.Generator().manual_seed(self._seed(index))
        if self.features is None:
            picture = self._augmented(index)
        else:
            view = int(torch.randint(self.features.views, (), generator=generator))
            picture = self.features.load(place, view)
        most = self.config.captions_per_image or len(captions)
        drawn = torch.randperm(len(captions), generator=generator)[:most].tolist()
        name = str(self.images[place].path)
        texts, failures = apart(
            read_item(index, name, partial(self._text, place, captions[number], generator))
            for number in sorted(drawn)
        )
        if not texts:
            raise ValueError(failures[0].reason)
        item = TrainingItem(picture, self.images[place].image_id, texts, failures)
        if self.phrases is None or self.epoch >= self.config.warmup_epochs:
            return item
        return self._with_phrases(item, place, self.phrases, generator)

    def _with_phrases(
        self, item: TrainingItem, place: int, phrases: CaptionPhrases, generator: torch.Generator
    ) -> TrainingItem:
        """Add phrases to the captions of an item, as many as there are to be."""
        texts, heads = phrases.texts[place], phrases.heads[place]
        drawn = torch.randperm(len(texts), generator=generator)[: self.config.location_phrases]
        chosen = drawn.sort().values.tolist()
        found = self.word_vectors.vectors_of([texts[number] for number in chosen])
        used = [
            (text.vectors, heads[number])
            for text, number in zip(found, chosen, strict=True)
            if not isinstance(text, Failure)
        ]
        return item._replace(
            texts=item.texts + [vectors for vectors, _ in used],
            failures=item.failures + apart(found)[1],
            heads=[-1] * len(item.texts) + [head for _, head in used],
            named=phrases.named(place),
        )

    def _seed(self, index: int) -> int:
        return mixed_seed(self.config.seed, self.epoch, index)

    def _augmented(self, index: int) -> Tensor:
        """Augment an image, (3, H, W); torchvision draws from the generator of all."""
        with torch.random.fork_rng(devices=[]):
            seed_generators(torch.device("cpu"), self._seed(index))
            return self.transform(load_image(self.images[self.items[index][0]].path))

    def _text(self, place: int, caption: int, generator: torch.Generator) -> Tensor:
        """Look up the words of a caption, (T, W), but for some that are dropped."""
        found = required(self.word_vectors.vectors_of([self.images[place].captions[caption]]))
        return self._drop_words(found[0].vectors, generator)

    def _drop_words(self, vectors: Tensor, generator: torch.Generator) -> Tensor:
        """Leave words (T, W) out at random, but not all of them."""
        if not self.config.word_dropout:
            return vectors
        kept = torch.rand(len(vectors), generator=generator) >= self.config.word_dropout
        return vectors[kept] if kept.any() else vectors

    def batches(self, size: int, start: int = 0) -> list[list[int]]:
        """Shuffle this epoch's items into whole batches; what is left over waits for another.

        Args:
            size: items in a batch.
            start: how many of the shuffled items are passed over, having been trained on.

        Raises:
            ValueError: if there are fewer items than fit in a batch.
        """
        if len(self) < size:
            by_image = self.config.images_per_batch
            what, option = ("images", "images-per-batch") if by_image else ("pairs", "batch-size")
            raise ValueError(
                f"{len(self)} training {what} do not fill a batch of {size}; "
                f"use a smaller --{option}"
            )
        generator = torch.Generator().manual_seed(mixed_seed(self.config.seed, self.epoch))
        order = torch.randperm(len(self), generator=generator).tolist()
        starts = range(start, len(order) - size + 1, size)
        return [order[first : first + size] for first in starts]


def load_batches(
    dataset: TrainingDataset, batches: Sequence[list[int]], workers: int, device: torch.device
) -> Iterable[TrainingBatch]:
    """Load given batches of items, in order.

    Features are read by a thread of this process, as they need no more than copying.

    Args:
        dataset: of all items.
        batches: places of the items of each.
        workers: processes that read images; 0 reads in this one.
        device: where batches go.
    """
    if dataset.features is not None:
        # Sorted, as the disk likes it; a loss does not care.
        return read_ahead(lambda batch: collate([dataset[item] for item in sorted(batch)]), batches)
    size = max(map(len, batches), default=0) * pixel_bytes(dataset.config.crop_size)
    return loader(dataset, workers, device, collate, size, batch_sampler=batches)
