"""Photographs with their sentences."""

import dataclasses
from pathlib import Path


class NoImagesError(ValueError):
    """There is no image in the splits that were asked for."""


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """A photograph with the sentences that were written for it."""

    image_id: int
    path: Path
    captions: tuple[str, ...]
    found: bool = True  # False if there is no such file
    split: str = ""  # as its file has it
    caption_ids: tuple[int, ...] = ()  # of COCO's annotations; none in other data sets
