"""Settings of training and of data; importing them costs nothing."""

from misc.config.data_sets import (
    DATASETS,
    FLICKR,
    default_data_root,
)
from misc.config.training import PRECISIONS, TrainConfig

__all__ = [
    "DATASETS",
    "FLICKR",
    "PRECISIONS",
    "TrainConfig",
    "default_data_root",
]
