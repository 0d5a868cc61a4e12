"""Batches of training: images, and captions of theirs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from misc.data.caption_phrases import NamedThings
from misc.runtime.failures import Failure, apart
from misc.words.token_vectors import pad_texts

TENSORS = ("images", "image_ids", "vectors", "lengths", "owners")  # of a batch


@dataclasses.dataclass
class TrainingBatch:
    """N images, each of which is embedded once, and M captions, those of an image in a row.

    A batch of pairs, as published, is the case of one caption an image; an image of several pairs
    is there several times. Where ``things`` are named, some of the M texts are phrases.
    """

    images: Tensor  # (N, 3, H, W), normalised, or what the trunk made of them, (N, C, h, w)
    image_ids: Tensor  # (N,), equal where an image is there again
    vectors: Tensor  # (M, T, W), word vectors padded with zeros
    lengths: Tensor  # (M,)
    owners: Tensor  # (M,), row of each caption's image, ascending
    failures: list[Failure]
    things: NamedThings | None = None

    def _each(self, change: Callable[[Tensor], Tensor]) -> "TrainingBatch":
        tensors: dict[str, Any] = {name: change(getattr(self, name)) for name in TENSORS}
        things = self.things and NamedThings(*map(change, self.things))
        return dataclasses.replace(self, **tensors, things=things)

    def pin_memory(self) -> "TrainingBatch":
        """Pin the tensors, as ``DataLoader`` asks of batches of a class of their own."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "TrainingBatch":
        """Copy the tensors to a device, without waiting for it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def __len__(self) -> int:
        """Count the pairs of a caption and its image."""
        return len(self.owners) if self.things is None else int((self.things.heads < 0).sum())

    def chunks(self, size: int) -> list["TrainingBatch"]:
        """Cut into batches of ``size`` images and their captions, the last smaller; at least one.

        Owners are then rows of the chunk; what a loss needs of the whole batch is left out.
        """
        counts = self.owners.bincount(minlength=len(self.images)).split(size)
        captions = [int(count.sum()) for count in counts]
        pieces = zip(
            self.images.split(size),
            self.image_ids.split(size),
            self.vectors.split(captions),
            self.lengths.split(captions),
            self.owners.split(captions),
            strict=True,
        )
        return [
            TrainingBatch(images, ids, vectors, lengths, owners - number * size, [])
            for number, (images, ids, vectors, lengths, owners) in enumerate(pieces)
        ]


class TrainingItem(NamedTuple):
    """An image and texts on it, as word vectors; and those texts that cannot be used."""

    image: Tensor  # (3, H, W), normalised; or (C, h, w)
    image_id: int
    texts: list[Tensor]  # (T, W) each
    failures: list[Failure]
    heads: Sequence[int] = ()  # see ``NamedThings``; none where there are no phrases
    named: Tensor | None = None  # (V,)


def collate(items: Sequence[TrainingItem | Failure]) -> TrainingBatch:
    """Make a batch of the items that could be read; without any, it has neither rows nor shapes."""
    read, failures = apart(items)
    failures = [failure for item in read for failure in item.failures] + failures
    if not read:
        empty = torch.empty(0)
        return TrainingBatch(empty, empty, empty, empty, empty, failures)
    vectors, lengths = pad_texts([text for item in read for text in item.texts])
    things = None
    named = [item.named for item in read if item.named is not None]
    if named:
        heads = torch.tensor([head for item in read for head in item.heads])
        things = NamedThings(heads, torch.stack(named))
    return TrainingBatch(
        torch.stack([item.image for item in read]),
        torch.tensor([item.image_id for item in read]),
        vectors,
        lengths,
        torch.tensor([row for row, item in enumerate(read) for _ in item.texts]),
        failures,
        things,
    )
