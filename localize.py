"""Show where phrases are in images: one picture an image, with a heat map for each phrase.

Examples:
    python localize.py -p runs/toy/best.pt -i photo.jpg -t "a burger" "beans" -o out
    python localize.py -p best_model.pth.tar -i photos dog.jpg -t "a dog" --boxes --npz -o out

A dot marks the highest cell of a heat map, a ring that of the smoothed one. Each heat map is
stretched to its own range, so that it says where a phrase would be. Whether it is there is said by
the percentage of the images kept with the checkpoint, of its validation, that fit the phrase less;
below 80, it is probably not, and drawn faint.
"""

import argparse
import functools
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run, write_json
from misc.cli.options import (
    common_options,
    folder_options,
    localization_options,
    model_options,
    script_parser,
)
from misc.data.image_files import IMAGE_SUFFIXES, find_images

if TYPE_CHECKING:
    from torch import Tensor

    from misc.inference.batches import MappedBatch
    from misc.runtime.failures import Failure

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=8),
        localization_options(threshold=0.7, peaks=True),
        folder_options(),
        common_options(),
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


def write_pictures(
    args: argparse.Namespace,
    images: list[Path],
    batches: "Iterable[MappedBatch]",
    kernels: "Tensor",
    percents: "Callable[[Tensor], Tensor]",
) -> "tuple[list[dict[str, Any]], list[Failure]]":
    """Write the picture of each image, and say what is in it; also which could not be shown."""
    from misc.evaluation.localization import kernel_heat_maps
    from misc.pictures.outputs import output_names, write_outputs
    from misc.runtime.failures import Failure, read_item, tell

    names = output_names(images)
    written: list[dict[str, Any]] = []
    failed: list[Failure] = []
    options = args.peak_sigma, args.threshold, args.boxes, args.npz
    for indices, embeddings, maps, failures in batches:
        failed += failures
        fits = percents(embeddings).tolist()
        for index, image_maps, fit in zip(indices, maps, fits, strict=True):
            heat = kernel_heat_maps(image_maps, kernels).cpu()
            inputs = images[index], args.texts, heat, fit, *options, args.output / names[index]
            write = functools.partial(write_outputs, *inputs)
            item = read_item(index, str(images[index]), write)
            if isinstance(item, Failure):
                failed.append(item)
            else:
                written.append(item)
                print(item["file"])  # noqa: T201
    tell(failed, logger)
    return written, failed


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Write the pictures, and return what is where in them."""
    from misc.checkpoints.checkpoint import read_checkpoint
    from misc.data.paths import DataPaths
    from misc.evaluation.presence import percentiles
    from misc.inference.acceleration import accelerate
    from misc.inference.batches import map_image_files
    from misc.inference.encode import encode_texts
    from misc.inference.loading import build_with_words
    from misc.runtime.device import select_device

    device = select_device(args.device)
    images = find_images(args.images, args.recursive)
    checkpoint = read_checkpoint(args.path)
    model, word_vectors = build_with_words(
        checkpoint, args.path, device, DataPaths(args.data_root), args.word_vectors
    )
    model = accelerate(model, args.precision)
    texts = encode_texts(model, args.texts, word_vectors, first_sentence=args.first_sentence)
    kernels = model.localization_kernels(
        texts.to(device), args.components or model.config.heat_map_components
    )
    size = args.image_size or model.config.localization_size
    options = args.batch_size, args.workers, args.affinity
    batches = map_image_files(model, images, size, *options)
    if checkpoint.reference_images is None:
        logger.info("the checkpoint has no images of reference: unknown whether phrases are there")

    def percents(embeddings: "Tensor") -> "Tensor":
        return percentiles(embeddings.float().cpu(), texts, checkpoint.reference_images)

    written, failed = write_pictures(args, images, batches, kernels, percents)
    if not written:
        raise ValueError(f"none of the {len(images)} images can be shown: {failed[0].reason}")
    results = {"images": written, "left_out": [failure.name for failure in failed]}
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
