"""What is there of COCO, Flickr8k and Flickr30k under a data root, and what is missing."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from misc.data import sources
from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.flickr import LISTS, SOURCES, find_captions, find_list
from misc.data.json_files import scan_json
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs

SPLITS = ("train", "restval", "val", "test")


@dataclasses.dataclass(frozen=True)
class Holding:
    """Images that belong together, and what is there of them; ``None`` is what no file says."""

    dataset: str
    split: str
    found: int  # images with a file
    listed: int | None = None
    captions: int | None = None
    boxes: int | None = None


Found = tuple[list[Holding], list[str]]  # what is there of a data set, and what is missing


def look_at_captions(paths: DataPaths) -> Found:
    """Count the images of each split with their captions; without these, the photographs alone."""
    images, missing = _images(paths)
    holdings = []
    for split in dict.fromkeys(image.split for image in images):
        of_split = [image for image in images if image.split == split]
        found, captions = _count_found(of_split), sum(len(image.captions) for image in of_split)
        holdings.append(Holding(paths.dataset, split, found, len(of_split), captions))
    found, listed = _count_found(images), len(images)
    if not images:
        found = len(paths.photographs())
        holdings += [Holding(paths.dataset, "in no list", found)] if found else []
    return holdings, missing + lacking(paths.dataset, found, listed)


def _images(paths: DataPaths) -> tuple[list[CaptionedImage], list[str]]:
    """Read the images of the splits that there are, and say what is missing of captions."""
    if paths.split_file.exists():
        return read_captions(paths, SPLITS), []
    file = find_captions(paths) if paths.dataset in SOURCES else None
    if file is None:
        name = f"{paths.dataset}/{paths.split_file.name}"
        other = sources.OTHER_CAPTIONS.get(paths.dataset, "")
        return [], [sources.SPLITS.format(paths.dataset, name) + other]
    listed = [split for split in LISTS if find_list(paths, split)]
    absent = [split for split in LISTS if split not in listed]
    missing = [f"no list of {', '.join(absent)} for {file.name}: {SOURCES[paths.dataset]}"]
    return read_captions(paths, listed) if listed else [], missing if absent else []


def _count_found(images: Iterable[CaptionedImage]) -> int:
    return sum(image.found for image in images)


def lacking(dataset: str, found: int, listed: int) -> list[str]:
    """Say how many photographs are missing: of those listed, or all."""
    if found >= max(listed, 1):
        return []
    count = f"{listed - found:,} of {listed:,} " if found else ""
    return [f"{count}photographs: {sources.PHOTOGRAPHS[dataset]}"]


def look_at_coco(paths: DataPaths) -> Found:
    """Count as for captions, and the photographs and things of each file of instances."""
    holdings, missing = look_at_captions(paths)
    photographs = paths.photographs()
    files = [file for file in (paths.instances, *paths.instances_of_2017) if file.exists()]
    for file in files:
        folder = paths.images / file.stem.removeprefix("instances_")
        holdings.append(look_at_instances(paths.dataset, file, folder, photographs))
    if paths.instances not in files and len(files) < len(paths.instances_of_2017):
        missing.append(sources.INSTANCES)
    return holdings, missing


def look_at_instances(dataset: str, file: Path, folder: Path, photographs: Photographs) -> Holding:
    """Count the photographs and things of a file of instances.

    Args:
        dataset: it belongs to.
        file: of instances.
        folder: in which its photographs are looked for first.
        photographs: of COCO.

    Raises:
        ValueError: if the file is empty or cut off.
    """
    places = [folder / name for name in scan_json(file, "file_name")]
    found = sum(photographs.find(place) is not None for place in places)
    boxes = sum(1 for _ in scan_json(file, "bbox"))
    return Holding(dataset, file.name, found, len(places), boxes=boxes)
