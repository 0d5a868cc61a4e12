"""The way to the captions of all data sets."""

from collections.abc import Collection

from misc.data.captioned_images import CaptionedImage
from misc.data.karpathy import read_karpathy
from misc.data.own_captions import read_caption_file
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure


def read_captions(
    paths: DataPaths, splits: Collection[str], left_out: list[Failure] | None = None
) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``, or captions of one's own.

    An image of ``dataset.json`` whose file is in none of the folders is read, too, and says so.

    Args:
        paths: where the files are.
        splits: train, restval, val or test.
        left_out: gets the entries and captions that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is in no format that is known, or has no image in these splits.
    """
    if paths.dataset == "captions":
        return read_caption_file(paths.own_captions, paths.own_images, splits, left_out)
    return read_karpathy(paths, splits, left_out)
