"""COCO's val2014, of the release of 2014, or out of that of 2017, which has the same images.

Those of 2017 were shuffled: 5,000 of the 40,504 images of val2014 are its val2017, and the others
are in its train2017. Which ones they are is said by Karpathy's splits, all but train.
"""

from pathlib import Path

from misc.data.captions import read_captions
from misc.data.paths import DataPaths

SPLITS = ("restval", "val", "test")  # of Karpathy, together val2014


def files_of_val2014(paths: DataPaths) -> tuple[list[Path], set[int] | None]:
    """Find the instances of val2014: files, and the ids of its images if there are others in them.

    Raises:
        FileNotFoundError: if they are of neither release.
        ValueError: if Karpathy's splits are needed and broken.
    """
    if paths.instances.exists() or not any(file.exists() for file in paths.instances_of_2017):
        return [paths.existing(paths.instances)], None
    return [paths.existing(file) for file in paths.instances_of_2017], ids_of_val2014(paths)


def ids_of_val2014(paths: DataPaths) -> set[int]:
    """Read which images are in val2014 from Karpathy's splits.

    Raises:
        FileNotFoundError: if they are missing.
        ValueError: if they are broken.
    """
    return {image.image_id for image in read_captions(paths, SPLITS)}
