"""Draw the heat maps of docs/photographs.md, sorted by whether they are right.

The photographs are of COCO, licensed CC BY 2.0 and named in LICENSE.md; a heat map is right if the
peak of its smoothed map is in a box of the category.

Examples:
    python -m demo.photographs docs/photographs.png -p runs/mine/best.pt --data-root /data
"""

import argparse
from pathlib import Path

from PIL import Image
from torch import Tensor

from misc.cli import run
from misc.cli.options import PEAK_SIGMA
from misc.config import default_data_root
from misc.data.decoding import load_image
from misc.data.paths import data_paths
from misc.data.region_images import RegionImage
from misc.data.regions import read_category_boxes
from misc.embedder import Embedder
from misc.evaluation.localization import both_peaks, points_in_boxes
from misc.pictures.heat_maps import OPACITY, mark_peaks, overlay
from misc.pictures.panels import contact_sheet
from misc.pictures.png import save_small_png
from misc.pictures.presence import strength, titled

ASKED = {  # what is asked of photographs, by their ids
    208901: ("an airplane",),
    214753: ("a horse", "a pizza"),
    165518: ("a motorcycle",),
    126107: ("a bird", "a bus"),
    516008: ("a laptop", "a mouse", "an elephant"),
    358083: ("a cat",),
    547336: ("a cup",),
    160012: ("a person",),
}
RIGHT, WRONG, ABSENT = (
    "Right: the ring is on it",
    "Wrong: it is there, and the ring is beside it",
    "Not there",
)
TILE = (264, 198)  # pixels


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.photographs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, metavar="PNG", help="file that is written")
    parser.add_argument(
        "-p", "--path", type=Path, required=True, help="a checkpoint, trained on photographs"
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds COCO (default: %(default)s)",
    )
    return parser


def answer(
    embedder: Embedder, path: Path, photograph: RegionImage, phrase: str
) -> tuple[str, str, Image.Image]:
    """Draw the heat map of a phrase: whether it is right, its title and the picture."""
    image = load_image(path)
    heat_maps = embedder.localize(image, [phrase])
    texts, images = embedder.embed_texts([phrase]), embedder.embed_images([image])
    percent = embedder.percentiles(images, texts).item()
    picture = overlay(image, heat_maps[0], OPACITY * strength(percent))
    picture.thumbnail(TILE)
    mark_peaks(picture, *both_peaks(heat_maps, picture.size, PEAK_SIGMA)[0].tolist())
    return judged(photograph, phrase, heat_maps), titled(phrase, percent), picture


def judged(photograph: RegionImage, phrase: str, heat_maps: Tensor) -> str:
    """Say whether the heat map (1, h, w) of an article and a category is right."""
    category = phrase.split(maxsplit=1)[1]  # without its article
    if category not in photograph.phrases:
        return ABSENT
    boxes = photograph.boxes[photograph.phrase_of_box == photograph.phrases.index(category)]
    _, peak = both_peaks(heat_maps, photograph.size, PEAK_SIGMA)[0]
    return RIGHT if points_in_boxes(peak.expand(len(boxes), 2), boxes).any() else WRONG


def main(args: argparse.Namespace) -> Path:
    """Draw the heat maps, write the picture, and return where it is.

    Raises:
        FileNotFoundError: if there is no such model, or no annotations of COCO.
        ValueError: if a photograph is missing.
    """
    embedder = Embedder(args.path, data_root=args.data_root)
    found = read_category_boxes(data_paths(args.data_root, "coco"), "{name}")
    photographs = {one.image_id: (one.path, one) for one in found if one.path is not None}
    missing = sorted(ASKED.keys() - photographs.keys())
    if missing:
        raise ValueError(f"photographs of COCO val2014 are missing: {missing}")
    answers = [
        answer(embedder, *photographs[image_id], phrase)
        for image_id, phrases in ASKED.items()
        for phrase in phrases
    ]
    groups = [
        (heading, [(title, picture) for group, title, picture in answers if group == heading])
        for heading in (RIGHT, WRONG, ABSENT)
    ]
    sheet = contact_sheet([group for group in groups if group[1]], TILE, in_row=3)
    output: Path = args.output
    save_small_png(sheet, output)
    return output


if __name__ == "__main__":
    run(main, get_parser())
