"""Which captions and images of COCO's test split belong together, as people found later.

The package ``eccv_caption`` brings the data of two protocols along: ECCV Caption (Chun et al.,
2022) and Crisscrossed Captions (CxC; Parekh et al., 2021).
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from misc.data.json_files import read_json

PACKAGE = "eccv_caption"
PROTOCOLS = ("eccv", "cxc")


class Positives(NamedTuple):
    """Ids of what belongs to a query, by the query's own id."""

    captions: dict[int, frozenset[int]]  # of images
    images: dict[int, frozenset[int]]  # of captions


def read_positives(protocol: str) -> Positives:
    """Read the data of one of ``PROTOCOLS``.

    Raises:
        ValueError: if the package is not installed, or lacks it.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError("--protocol eccv needs: pip install -r requirements-eccv.txt")
    folder = Path(found.origin).parent / "data"
    return Positives(
        *(
            _read(folder / f"{protocol}_{direction}.json")
            for direction in ("image_to_caption", "caption_to_image")
        )
    )


def _read(file: Path) -> dict[int, frozenset[int]]:
    if not file.is_file():
        raise ValueError(f"{file} is missing: pip install --force-reinstall {PACKAGE}")
    return {int(query): frozenset(map(int, found)) for query, found in read_json(file).items()}
