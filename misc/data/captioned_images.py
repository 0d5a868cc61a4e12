"""Photographs with their sentences."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """A photograph with the sentences that were written for it."""

    image_id: int
    path: Path
    captions: tuple[str, ...]
