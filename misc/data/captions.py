"""The way to the captions of all data sets."""

from collections.abc import Collection

from misc.config import FLICKR
from misc.data.captioned_images import CaptionedImage
from misc.data.flickr import find_captions, read_flickr
from misc.data.karpathy import read_karpathy
from misc.data.own_captions import read_caption_file
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure


def read_captions(
    paths: DataPaths, splits: Collection[str], left_out: list[Failure] | None = None
) -> list[CaptionedImage]:
    """Read the images of some splits.

    They are those of Karpathy's ``dataset.json``, of Flickr's own files, or captions of one's own.
    An image whose file is in none of the folders is read, too, and says so, but not of one's own.

    Args:
        paths: where the files are.
        splits: train, restval, val or test.
        left_out: gets the entries and captions that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if there is no such file, or none that tells the splits apart.
        ValueError: if it is in no format that is known, or has no image in these splits.
    """
    if paths.dataset == "captions":
        return read_caption_file(paths.own_captions, paths.own_images, splits, left_out)
    if paths.dataset in FLICKR and not paths.split_file.exists():
        file = find_captions(paths)
        if file:
            return read_flickr(paths, file, splits, left_out)
    return read_karpathy(paths, splits, left_out)
