"""Data sets and where they are."""

import os
from pathlib import Path

DATASETS = ("coco", "flickr8k", "flickr30k", "captions", "toy")
FLICKR = ("flickr8k", "flickr30k")  # whose photographs have ids of their own
TOY_IMAGE_SIZE = 128  # side of the toy scenes in pixels, which are looked at as they are


def default_data_root() -> Path:
    """Return the environment variable ``DSVE_DATA``, or ``data`` without it."""
    return Path(os.environ.get("DSVE_DATA") or "data")


def evaluation_size(dataset: str, model_size: int) -> int:
    """Side in pixels to which a data set's images are squeezed; toy scenes keep their size."""
    return TOY_IMAGE_SIZE if dataset == "toy" else model_size
