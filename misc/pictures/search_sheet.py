"""Contact sheets of what was found, with the heat map of the query over each image."""

import functools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from misc.data.decoding import load_image
from misc.evaluation.localization import kernel_heat_maps
from misc.features.search import Answer
from misc.inference.batches import MappedBatch, map_image_files
from misc.pictures.heat_maps import overlay
from misc.pictures.panels import SHEET_TILE, contact_sheet
from misc.pictures.png import save_png
from misc.runtime.failures import Failure, read_item, tell
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


def write_sheet(
    path: Path,
    model: JointEmbedding,
    queries: Tensor,
    answers: Sequence[Answer],
    image_size: int,
    components: int,
    **options: Any,  # noqa: ANN401
) -> list[str]:
    """Write a PNG of the images that each query found, its heat map over each.

    Args:
        path: of the PNG.
        model: in eval mode, on its device.
        queries: (Q, D), embeddings of texts or images.
        answers: to the queries.
        image_size: side of the square that images are squeezed to for the model, in pixels.
        components: how many of a query's components count.
        options: ``batch_size``, ``workers`` and ``affinity``, of ``map_image_files``.

    Returns:
        The names of the images that could not be read, each of which is logged.

    Raises:
        ValueError: if none of the names is an image that can be read.
    """
    groups: list[tuple[str, list[tuple[str, Image.Image]]]] = []
    reasons: dict[str, str] = {}
    kernels = model.localization_kernels(queries.to(next(model.parameters()).device), components)
    for kernel, answer in zip(kernels, answers, strict=True):
        files = [Path(found.name) for found in answer.found]
        batches = map_image_files(model, files, image_size, **options)
        tiles, failures = _tiles(answer, batches, kernel)
        tell([failure for failure in failures if failure.name not in reasons], logger)
        reasons |= {failure.name: failure.reason for failure in failures}
        groups += [(answer.query, tiles)] if tiles else []
    if not groups:
        raise _no_panel(reasons)
    save_png(contact_sheet(groups), path)
    return list(reasons)


def _no_panel(reasons: dict[str, str]) -> ValueError:
    return ValueError(
        f"no panel: none of the {len(reasons)} names found is an image that can be read here "
        f"({next(iter(reasons.values()))}); features of texts have no images, and names of "
        "images are as they were given when they were extracted"
    )


def _tiles(
    answer: Answer, batches: Iterable[MappedBatch], kernel: Tensor
) -> tuple[list[tuple[str, Image.Image]], list[Failure]]:
    """Lay a query's heat map over each image that it found; also give those that cannot be read."""
    tiles, failures = [], []
    for batch in batches:
        failures += batch.failures
        for index, image_maps in zip(batch.indices, batch.maps, strict=True):
            found = answer.found[index]
            heat = kernel_heat_maps(image_maps, kernel[None])[0]
            read = functools.partial(load_image, Path(found.name), longest=2 * SHEET_TILE)
            image = read_item(index, found.name, read)  # again, and it may be gone by now
            if isinstance(image, Failure):
                failures.append(image)
            else:
                title = f"{found.score:.3f} {Path(found.name).name}"
                tiles.append((title, overlay(image, heat)))
    return tiles, failures
