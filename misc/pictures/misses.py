"""The queries that missed worst, by a table of ranks or hits: images with heat maps."""

import functools
import heapq
import json
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from misc.data.decoding import load_image
from misc.data.entries import read_entries
from misc.evaluation.localization import kernel_heat_maps
from misc.inference.batches import MappedBatch, map_image_files
from misc.pictures.heat_maps import mark_box, mark_peaks, overlay
from misc.pictures.panels import SHEET_TILE, contact_sheet
from misc.runtime.failures import Failure, read_item, tell
from misc.runtime.tables import read_table
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


class Pointed(NamedTuple):
    """Where a phrase pointed, and where it should have; in pixels of an image of that size."""

    size: tuple[int, int]  # (width, height)
    peaks: list[list[float]]  # (2, 2), that of the heat map and of the smoothed one, x and y
    boxes: list[list[float]]  # (B, 4), x, y, width, height


class Miss(NamedTuple):
    """A query that was answered wrongly."""

    badness: float
    heading: str  # of the group that it belongs to
    image: Path
    text: str  # whose heat map is of interest
    title: str
    pointed: Pointed | None = None


def read_misses(file: Path, top: int) -> list[list[Miss]]:
    """Read the worst misses of a table, of each kind, the worst first; memory is for these alone.

    Rows that cannot be read are left out and told.

    Args:
        file: of ``misc.evaluation.query_tables``.
        top: so many of each kind.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such table, or nothing in it is a miss.
    """
    names, rows = read_table(file)
    reader = next((read for needed, read in READERS.items() if set(needed) <= set(names)), None)
    if reader is None:
        raise ValueError(
            f"{file} is no table of --save-ranks or --save-hits; its columns are "
            f"{', '.join(names) or 'none'}"
        )
    failures: list[Failure] = []
    kinds: dict[str, list[tuple[float, int, Miss]]] = {}
    for number, miss in enumerate(read_entries(rows, f"{file.name}, row", reader, failures)):
        if miss is not None:
            kept = kinds.setdefault(miss.heading, [])
            push = heapq.heappush if len(kept) < top else heapq.heappushpop
            push(kept, (miss.badness, -number, miss))  # of equally bad ones the first
    tell(failures, logger)
    if not kinds:
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{file} has no query that was answered wrongly{reason}")
    return [[miss for _, _, miss in sorted(kept, reverse=True)] for kept in kinds.values()]


def _read_rank(row: dict[str, Any]) -> Miss | None:
    rank, first, image = int(row["rank"]), str(row["first"]), Path(row["image"])
    if rank == 1:
        return None
    if row["direction"] == "i2t":
        heading = "image -> caption: the heat map of the caption that came first, not the image's"
        return Miss(rank, heading, image, first, f"rank {rank}; first: {first}")
    heading = "caption -> image: the heat map of the caption on its own image"
    return Miss(rank, heading, image, str(row["text"]), f"rank {rank}: {row['text']}")


def _read_hit(row: dict[str, Any]) -> Miss | None:
    if str(row["pointing_game"]) == "True":
        return None
    numbers = {name: float(row[name]) for name in ("x", "y", "smoothed_x", "smoothed_y")}
    distance, phrase = float(row["distance"]), str(row["phrase"])
    if not math.isfinite(distance):
        raise ValueError("it points nowhere")
    x, y, smoothed_x, smoothed_y = numbers.values()
    size, peaks = (int(row["width"]), int(row["height"])), [[x, y], [smoothed_x, smoothed_y]]
    title = f"{100 * distance:.0f} %: {phrase}"
    heading = "phrases by the distance of the peak from the nearest box, in percent of the diagonal"
    pointed = Pointed(size, peaks, json.loads(row["boxes"]))
    return Miss(distance, heading, Path(row["image"]), phrase, title, pointed)


READERS: dict[tuple[str, ...], Callable[[dict[str, Any]], Miss | None]] = {
    ("direction", "image", "text", "rank", "first"): _read_rank,
    (
        "image", "width", "height", "phrase", "x", "y", "smoothed_x", "smoothed_y", "distance",
        "boxes", "pointing_game",
    ): _read_hit,
}  # fmt: skip


def draw_misses(
    kinds: Iterable[Sequence[Miss]],
    model: JointEmbedding,
    kernels: Callable[[list[str]], Tensor],
    image_size: int,
    batch_size: int,
    workers: int = 0,
    affinity: float | None = None,
) -> tuple[Image.Image, list[Failure]]:
    """Draw a contact sheet, a tile a miss; each image is encoded once for all of its misses.

    Args:
        kinds: misses in groups, each below its heading.
        model: in eval mode, on its device.
        kernels: turns M texts into localisation kernels (M, D).
        image_size: side of the square that images are squeezed to, in pixels.
        batch_size: images in a batch.
        workers: threads that read images; 0 reads them in this one.
        affinity: of ``share_alike``; ``None`` is the model's own.

    Returns:
        The sheet, and the images that cannot be shown, each of which is logged.

    Raises:
        ValueError: if not one image can be shown.
    """
    groups: list[tuple[str, list[tuple[str, Image.Image]]]] = []
    failures: list[Failure] = []
    for misses in kinds:
        files = list(dict.fromkeys(miss.image for miss in misses))
        batches = map_image_files(model, files, image_size, batch_size, workers, affinity)
        tiles = _tiles(misses, files, batches, kernels, failures)
        if tiles:
            groups.append((misses[0].heading, [tiles[number] for number in sorted(tiles)]))
    tell(failures, logger)
    if not groups:
        raise ValueError(f"no picture: not one image can be shown ({failures[0].reason})")
    return contact_sheet(groups), failures


def _tiles(
    misses: Sequence[Miss],
    files: Sequence[Path],
    batches: Iterable[MappedBatch],
    kernels: Callable[[list[str]], Tensor],
    failures: list[Failure],
) -> dict[int, tuple[str, Image.Image]]:
    """Draw the misses, by their numbers, as their images come; others go to ``failures``."""
    tiles = {}
    for batch in batches:
        failures += batch.failures
        for index, maps in zip(batch.indices, batch.maps, strict=True):
            numbers = [place for place, miss in enumerate(misses) if miss.image == files[index]]
            read = functools.partial(load_image, files[index], longest=2 * SHEET_TILE)
            image = read_item(index, str(files[index]), read)  # again, and it may be gone by now
            if isinstance(image, Failure):
                failures.append(image)
                continue
            weights = kernels([misses[number].text for number in numbers])
            heats = kernel_heat_maps(maps, weights).cpu()
            for number, heat in zip(numbers, heats, strict=True):
                tiles[number] = misses[number].title, _tile(image, heat, misses[number])
    return tiles


def _tile(image: Image.Image, heat: Tensor, miss: Miss) -> Image.Image:
    tile = overlay(image, heat)
    if miss.pointed:
        size, peaks, boxes = miss.pointed
        across, down = (new / old for new, old in zip(tile.size, size, strict=True))
        for x, y, width, height in boxes:
            mark_box(tile, (x * across, y * down, width * across, height * down))
        mark_peaks(tile, *([x * across, y * down] for x, y in peaks))
    return tile
