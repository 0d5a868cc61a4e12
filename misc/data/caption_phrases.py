"""What the captions of images name: phrases that are to be found at a place in their image."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from misc.data.captioned_images import CaptionedImage
from misc.words.noun_phrases import noun_phrases


class CaptionPhrases:
    """The noun phrases of all captions of N images, each once an image, and their V head nouns.

    Args:
        images: with their captions.
    """

    def __init__(self, images: Sequence[CaptionedImage]) -> None:
        heads: dict[str, int] = {}
        self.texts: list[list[str]] = []  # of each image
        self.heads: list[list[int]] = []  # of each of them, places of head nouns
        for image in tqdm(images, unit="image", desc="noun phrases", disable=None):
            found = dict(each for text in image.captions for each in noun_phrases(text))
            self.texts.append(list(found))
            self.heads.append([heads.setdefault(head, len(heads)) for head in found.values()])
        self.number_of_heads = len(heads)

    def named(self, place: int) -> Tensor:
        """Say which head nouns the captions of an image have: (V,), bool."""
        named = torch.zeros(self.number_of_heads, dtype=torch.bool)
        named[self.heads[place]] = True
        return named


class NamedThings(NamedTuple):
    """What phrases among the M texts of a batch name, and what the captions of its images do."""

    heads: Tensor  # (M,), the place of a phrase's head noun; -1 for a caption
    of_images: Tensor  # (N, V), True where a caption of the image has this head noun
