"""Show where phrases are in images: one picture an image, with a heat map for each phrase.

Examples:
    python localize.py -p runs/toy/best.pt -i photo.jpg -t "a burger" "beans" -o out
    python localize.py -p best_model.pth.tar -i photos dog.jpg -t "a dog" --boxes --npz -o out

A ring marks the peak of a heat map; each is stretched to its own range, so that heat maps say
where a phrase would be, not whether it is there.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from misc.checkpoint import PUBLISHED_SIZE, read_checkpoint
from misc.cli import common_options, localization_options, model_options, run, write_json
from misc.config import DataPaths
from misc.encode import build_with_words, encode_texts, map_image_files
from misc.image_files import IMAGE_SUFFIXES, find_images
from misc.localization import heat_maps, mask_boxes, masks, peaks
from misc.runtime import replacing, select_device
from misc.transforms import load_image
from misc.visualization import localization_panel

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[
            model_options(batch_size=8),
            localization_options(components=180, image_size=PUBLISHED_SIZE, threshold=0.7),
            common_options(),
        ],
    )
    parser.add_argument(
        "-i",
        "--images",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help=f"images ({' '.join(IMAGE_SUFFIXES)}), or folders of them",
    )
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="look into folders of folders, too"
    )
    parser.add_argument(
        "-t", "--texts", nargs="+", required=True, metavar="PHRASE", help="what to look for"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("out"),
        metavar="FOLDER",
        help="folder of the pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--boxes",
        action="store_true",
        help="draw the box around the region where a heat map exceeds --threshold",
    )
    parser.add_argument(
        "--npz",
        action="store_true",
        help="also write the raw heat maps (M, h, w), phrases, peaks and boxes, as FOLDER/NAME.npz",
    )
    return parser


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
    with replacing(path.with_name(f"{path.name}.png")) as temporary:
        picture.save(temporary, format="PNG")
    if npz:
        with replacing(path.with_name(f"{path.name}.npz")) as temporary, temporary.open("wb") as f:
            np.savez(
                f,
                heat_maps=heat.numpy(),
                phrases=np.array(phrases),
                peaks=points.numpy(),
                boxes=regions.numpy(),
                image_size=np.array(image.size),
            )
    return {
        "image": str(image_file),
        "file": f"{path}.png",
        "phrases": [
            {"phrase": phrase, "peak": point, "box": box}
            for phrase, point, box in zip(phrases, points.tolist(), regions.tolist(), strict=True)
        ],
    }


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Write the pictures, and return what is where in them."""
    device = select_device(args.device)
    images = find_images(args.images, args.recursive)
    checkpoint = read_checkpoint(args.path)
    model, word_vectors = build_with_words(
        checkpoint, args.path, device, DataPaths(args.data_root), args.word_vectors
    )
    texts = encode_texts(
        model,
        args.texts,
        word_vectors,
        precision=args.precision,
        first_sentence=args.first_sentence,
    ).to(device)
    batches = map_image_files(
        model,
        images,
        args.image_size or checkpoint.image_size,
        args.batch_size,
        workers=min(args.workers, len(images) // args.batch_size),
        precision=args.precision,
    )
    names, written, left_out = output_names(images), [], []
    for indices, _, maps, failures in batches:
        left_out += [failure.name for failure in failures]
        for failure in failures:
            logger.warning("left out: %s", failure.reason)
        for index, image_maps in zip(indices, maps, strict=True):
            heat = heat_maps(image_maps, texts, args.components).cpu()
            options = args.threshold, args.boxes, args.npz, args.output / names[index]
            written.append(write_outputs(images[index], args.texts, heat, *options))
            print(written[-1]["file"])  # noqa: T201
    if not written:
        raise ValueError(f"none of the {len(images)} images can be read")
    results = {"images": written, "left_out": left_out}
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
