"""The images of a data set that are trained on, and those of validation: where files are there."""

import logging

from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.captions import read_captions
from misc.data.paths import DataPaths
from misc.data.photographs import only_found

logger = logging.getLogger(__name__)


def training_images(paths: DataPaths) -> list[CaptionedImage]:
    """Read the images that are trained on: Karpathy's train and rest/val splits.

    A data set without any, made for evaluation, is trained on its validation images with a
    warning: good for a trial, and for nothing else.

    Raises:
        FileNotFoundError: if there is no photograph of them.
    """
    try:
        images = read_captions(paths, ("train", "restval"))
    except NoImagesError as error:
        images = read_captions(paths, ("val",))
        logger.warning("%s; a trial run on val: validation figures will mean nothing", error)
    return only_found(images, f"{paths.dataset}, for training", paths.folder)


def validation_images(paths: DataPaths) -> list[CaptionedImage]:
    """Read the images of the validation split.

    Raises:
        FileNotFoundError: if there is no photograph of them.
    """
    return only_found(read_captions(paths, ("val",)), f"{paths.dataset} val", paths.folder)
