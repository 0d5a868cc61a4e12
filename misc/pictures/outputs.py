"""Files of localisation: a picture an image, and its raw heat maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from misc.data.decoding import load_image
from misc.evaluation.localization import mask_boxes, masks, peaks
from misc.pictures.panels import localization_panel
from misc.pictures.png import save_png
from misc.runtime.files import replacing


def output_names(images: Sequence[Path]) -> list[str]:
    """Name the outputs after their images, a number behind the name where it is taken."""
    names: list[str] = []
    for image in images:
        options = (f"{image.stem}-{number}" for number in range(2, len(images) + 2))
        name = image.stem if image.stem not in names else next(n for n in options if n not in names)
        names.append(name)
    return names


def write_outputs(
    image_file: Path,
    phrases: Sequence[str],
    heat: Tensor,
    threshold: float,
    boxes: bool,
    npz: bool,
    path: Path,
) -> dict[str, Any]:
    """Write the picture of an image, and maybe its raw heat maps (M, h, w).

    Returns:
        The picture's ``file`` and, for each phrase, the peak (x, y) and the box (x, y, width,
        height) around the mask, in pixels of the upright image.
    """
    image = load_image(image_file)
    points = peaks(heat, image.size)
    regions = mask_boxes(masks(heat, image.size, threshold))
    picture = localization_panel(
        image, image_file.name, phrases, heat, points, regions if boxes else None
    )
    save_png(picture, path.with_name(f"{path.name}.png"))
    if npz:
        arrays = {"heat_maps": heat, "peaks": points, "boxes": regions, "image_size": image.size}
        with replacing(path.with_name(f"{path.name}.npz")) as temporary, temporary.open("wb") as f:
            kept: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
            np.savez(f, phrases=np.array(phrases), **kept)
    return {
        "image": str(image_file),
        "file": f"{path}.png",
        "phrases": [
            {"phrase": phrase, "peak": point, "box": box}
            for phrase, point, box in zip(phrases, points.tolist(), regions.tolist(), strict=True)
        ],
    }
