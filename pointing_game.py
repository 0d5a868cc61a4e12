"""Play the pointing game: how often does a phrase's heat map peak inside the phrase's box?

The phrases are Visual Genome's, on the images that are in COCO val2014 too. The published
figure takes the upper-left corner of the highest cell, the other one its centre.

Examples:
    python pointing_game.py -p runs/toy/best.pt --dataset toy
    python pointing_game.py -p best_model.pth.tar --json pointing.json
    python pointing_game.py -p best_model.pth.tar -rv --limit 200          # a quick look
"""

import argparse
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misc.annotations import RegionImage, read_captions, read_coco_ids, read_regions
from misc.cli import (
    common_options,
    listed,
    localization_options,
    model_options,
    positive,
    run,
    write_json,
)
from misc.config import evaluation_size
from misc.dataset import Failure, data_paths
from misc.encode import encode_texts, load_with_words, map_image_files
from misc.localization import heat_maps, large_boxes, peaks, points_in_boxes
from misc.runtime import select_device

DATASETS = {"visual_genome": "coco", "toy": "toy"}  # and the COCO data that they belong to
POINTS = {  # what is scored, in the order of the columns of the hits
    "pointing_game": "peak, centre of its cell",
    "pointing_game/published": "peak, upper-left corner",
    "centre_baseline": "centre of the image",
}

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[
            model_options(batch_size=8),
            localization_options(components=180, image_size=416),
            common_options(),
        ],
    )
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        default="visual_genome",
        help="whose regions (default: %(default)s)",
    )
    parser.add_argument(
        "--visual-genome",
        type=Path,
        metavar="FOLDER",
        help="folder with image_data.json, region_descriptions.json, VG_100K and VG_100K_2 "
        "(default: visual_genome under the data root)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "-rv",
        "--rest-val",
        action="store_true",
        help="only the images that Karpathy's split calls val: for models that were trained on "
        "the rest of val2014",
    )
    chosen.add_argument(
        "--all-images",
        action="store_true",
        help="all images of Visual Genome, also those that COCO val2014 does not have",
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N images, for a quick look"
    )
    return parser


def score_regions(image: RegionImage, maps: Tensor, texts: Tensor, num_components: int) -> Tensor:
    """Say what hits the boxes of an image.

    Args:
        image: with R regions.
        maps: (D, h, w), its projected maps.
        texts: (S, D), the embeddings of its phrases that are not blank.
        num_components: how many components of a text count.

    Returns:
        (R, 3), one column for each of ``POINTS``; a blank phrase points nowhere and misses.
    """
    heat = heat_maps(maps, texts, num_components).cpu()
    spoken = torch.tensor([bool(phrase.strip()) for phrase in image.phrases])
    hits = torch.zeros(len(image.boxes), len(POINTS), dtype=torch.bool)
    for column, corner in enumerate((False, True)):
        points = peaks(heat, image.size, corner)
        hits[spoken, column] = points_in_boxes(points, image.boxes[spoken])
    centre = torch.tensor(image.size).div(2).expand(len(hits), 2)
    hits[:, 2] = points_in_boxes(centre, image.boxes)
    return hits


def score_images(
    images: Sequence[RegionImage], args: argparse.Namespace, device: torch.device
) -> Iterator[tuple[RegionImage, Tensor] | Failure]:
    """Score image by image; yields the hits (R, 3), or the failure of one that is unreadable."""
    paths = data_paths(args.data_root, DATASETS[args.dataset])
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    size = evaluation_size(args.dataset, 416)
    batches = map_image_files(
        model,
        [image.path for image in images],
        args.image_size or size,
        args.batch_size,
        workers=args.workers,
        precision=args.precision,
    )
    for indices, maps, failures in batches:
        yield from failures
        batch = [images[index] for index in indices]
        phrases = [[text for text in image.phrases if text.strip()] for image in batch]
        texts = encode_texts(
            model,
            [text for group in phrases for text in group],
            word_vectors,
            precision=args.precision,
            first_sentence=args.first_sentence,
            quiet=True,
        )
        groups = texts.to(device).split([len(group) for group in phrases])
        for image, image_maps, group in zip(batch, maps, groups, strict=True):
            yield image, score_regions(image, image_maps, group, args.components)
