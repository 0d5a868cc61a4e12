"""Files of localisation: a picture an image, and its raw heat maps."""

import collections
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from misc.data.decoding import load_image, upright_size
from misc.evaluation.localization import both_peaks, mask_boxes, masks
from misc.pictures.panels import localization_panel
from misc.pictures.png import save_png
from misc.runtime.files import replacing

TILE = 1024  # longer side of a picture's tiles, in pixels


def output_names(images: Sequence[Path]) -> list[str]:
    """Name the outputs after their images, a number behind the name where it is taken."""
    taken: set[str] = set()
    numbers: collections.Counter[str] = collections.Counter()
    names: list[str] = []
    for image in images:
        stem = name = image.stem if image.stem.strip(".") else image.name  # of "..jpg"
        while name in taken:
            numbers[stem] += 1
            name = f"{stem}-{numbers[stem] + 1}"
        taken.add(name)
        names.append(name)
    return names


def write_outputs(
    image_file: Path,
    phrases: Sequence[str],
    heat: Tensor,
    percents: Sequence[float],
    sigma: float,
    threshold: float,
    boxes: bool,
    npz: bool,
    path: Path,
) -> dict[str, Any]:
    """Write the picture of an image, and maybe its raw heat maps (M, h, w).

    Returns:
        The picture's ``file`` and, for each phrase, ``fits_better_than`` so many percent of the
        images of reference (``None`` if it is unknown), the peak (x, y), that of the heat map
        smoothed by ``sigma``, and the box (x, y, width, height) around the mask, in pixels of the
        upright image.
    """
    size, image = upright_size(image_file), load_image(image_file, longest=TILE)
    points = both_peaks(heat, size, sigma)
    # One phrase at a time: masks of a large photograph take its size, for each phrase.
    each = [mask_boxes(masks(one[None], size, threshold)) for one in heat]
    regions = torch.cat(each)
    scale = torch.tensor(image.size) / torch.tensor(size)
    shown = regions * scale.repeat(2) if boxes else None
    marks = points * scale, percents, shown
    picture = localization_panel(image, image_file.name, phrases, heat, *marks)
    save_png(picture, path.with_name(f"{path.name}.png"))
    if npz:
        arrays = {"heat_maps": heat, "boxes": regions, "image_size": size, "phrases": phrases}
        arrays |= {"peaks": points[:, 0], "smoothed_peaks": points[:, 1]}
        _write_arrays(path.with_name(f"{path.name}.npz"), arrays)
    known = [None if math.isnan(percent) else percent for percent in percents]
    names = "phrase", "fits_better_than", "peak", "smoothed_peak", "box"
    columns = phrases, known, points[:, 0].tolist(), points[:, 1].tolist(), regions.tolist()
    found = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return {"image": str(image_file), "file": f"{path}.png", "phrases": found}


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        kept: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez(file, **kept)
