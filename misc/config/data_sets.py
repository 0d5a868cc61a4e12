"""Data sets and where they are."""

import os
from pathlib import Path

DATASETS = ("coco", "flickr8k", "flickr30k", "captions", "toy")
FLICKR = ("flickr8k", "flickr30k")  # whose photographs have ids of their own


def default_data_root() -> Path:
    """Return the environment variable ``DSVE_DATA``, or ``data`` without it."""
    return Path(os.environ.get("DSVE_DATA") or "data")
