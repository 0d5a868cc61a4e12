"""Images with phrases for their regions: what is asked in the pointing game."""

import dataclasses
from pathlib import Path

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class RegionImage:
    """An image with the phrases that were written for its regions."""

    image_id: int
    path: Path | None  # None if there is no such file
    size: tuple[int, int]  # (width, height) in pixels, of the image that the boxes refer to
    region_ids: tuple[int, ...]
    phrases: tuple[str, ...]
    boxes: Tensor  # (B, 4), x, y, width and height in pixels
    phrase_of_box: Tensor  # (B,), the place of the phrase that each box is of
    types: tuple[tuple[str, ...], ...] = ()  # of what each phrase names, if the data set has any


@dataclasses.dataclass(frozen=True)
class Questions:
    """All phrases that are asked for, and how many others there are."""

    images: list[RegionImage]
    not_asked: dict[str, int] = dataclasses.field(default_factory=dict)  # phrases, by the reason
    source: str = ""  # the file that lists them and the split, where a data set has several

    def first(self, limit: int | None) -> "Questions":
        """Keep those of the first images; how many others there are is then not known."""
        return self if limit is None else Questions(self.images[:limit], source=self.source)
