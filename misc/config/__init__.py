"""Settings of training and of data; importing them costs nothing."""

from misc.config.data_sets import (
    DATASETS,
    FLICKR,
    TOY_IMAGE_SIZE,
    default_data_root,
    evaluation_size,
)
from misc.config.training import PRECISIONS, TrainConfig

__all__ = [
    "DATASETS",
    "FLICKR",
    "PRECISIONS",
    "TOY_IMAGE_SIZE",
    "TrainConfig",
    "default_data_root",
    "evaluation_size",
]
