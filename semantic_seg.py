"""Segment by words: how well do thresholded heat maps of category names fit COCO's outlines?

mAP@t ranks, for each category, all images by their similarity to its name; a mask is right if
the category is there and the overlap (intersection over union) is above t. mAP@t/published is what
the code of 2018 computed, which ranked by the overlap itself, on its own masks.

Examples:
    python semantic_seg.py -p runs/toy/best.pt --dataset toy --split test
    python semantic_seg.py -p best_model.pth.tar --json segmentation.json
    python semantic_seg.py -p best_model.pth.tar --prompt "a {name}" --limit 500
"""

import argparse
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from misc.annotations import InstanceImage, category_masks, read_captions, read_instances
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
from misc.dataset import data_paths
from misc.encode import MappedBatch, encode_texts, load_with_words, map_image_files
from misc.localization import (
    PUBLISHED_SIDE,
    heat_maps,
    intersection_over_union,
    masks,
    resize_nearest,
    segmentation_metrics,
)
from misc.runtime import select_device

IMAGE_SIZE = 400

logger = logging.getLogger(__name__)


class Scores(NamedTuple):
    """All that is kept of N images and C categories, with P pairs where the one shows the other."""

    confidences: Tensor  # (N, C)
    images: Tensor  # (P,), row of each pair
    categories: Tensor  # (P,), column of each pair
    ious: Tensor  # (P, 3), intersection over union: our mask, the published, the whole image
    left_out: list[int]  # ids of the images that could not be read


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[
            model_options(batch_size=8),
            localization_options(components=10, image_size=IMAGE_SIZE, threshold=0.45),
            common_options(),
        ],
    )
    parser.add_argument(
        "--dataset",
        choices=("coco", "toy"),
        default="coco",
        help="whose val2014 images and outlines (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        choices=("restval", "val", "test"),
        help="only the images that Karpathy's split calls so (default: all of val2014)",
    )
    parser.add_argument(
        "--prompt",
        type=prompt,
        default="{name} {name}s",
        help="text for a category; {name} stands for its name (default: '%(default)s')",
    )
    parser.add_argument(
        "--no-crowd", action="store_true", help="leave out the outlines around groups of things"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only the first N images, for a quick look"
    )
    return parser


def prompt(text: str) -> str:
    """Check a prompt, for argparse."""
    if "{name}" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} does not say where the {{name}} goes")
    return text


def score_pairs(image: InstanceImage, heat: Tensor, threshold: float) -> tuple[list[int], Tensor]:
    """Compare masks and outlines of the categories that are in an image.

    Args:
        image: with its outlines.
        heat: (C, h, w), the heat maps of all categories.
        threshold: share of a heat map's range above which a pixel is in the mask.

    Returns:
        The P categories in the image, and their overlaps (P, 3): our mask, the published mask,
        the whole image.
    """
    categories, targets = category_masks(image)
    published_size = (PUBLISHED_SIDE, PUBLISHED_SIDE)
    published_targets = resize_nearest(category_masks(image, published=True)[1], published_size)
    heat = heat[categories]
    overlaps = (
        intersection_over_union(masks(heat, image.size, threshold), targets),
        intersection_over_union(masks(heat, published_size, threshold), published_targets),
        targets.float().mean(dim=(1, 2)),
    )
    return categories, torch.stack(overlaps, dim=1)


def score_images(
    images: list[InstanceImage],
    batches: Iterable[MappedBatch],
    texts: Tensor,
    num_components: int,
    threshold: float,
) -> Scores:
    """Score image by image; of each, only numbers are kept.

    Args:
        images: all of them.
        batches: embeddings and maps of all images.
        texts: (C, D), embeddings of the categories' prompts.
        num_components: how many components of a text count.
        threshold: share of a heat map's range above which a pixel is in the mask.
    """
    confidences, rows, columns = torch.empty(len(images), len(texts)), [], []
    ious, left_out, count = [], [], 0  # ious as numbers: small tensors would scatter the memory
    for batch in batches:
        for failure in batch.failures:
            logger.warning("left out: %s", failure.reason)
            left_out.append(images[failure.index].image_id)
        similarities = (batch.embeddings @ texts.T).cpu()  # (B, C)
        for place, index in enumerate(batch.indices):
            heat = heat_maps(batch.maps[place], texts, num_components).cpu()
            categories, overlaps = score_pairs(images[index], heat, threshold)
            confidences[count] = similarities[place]
            rows += [count] * len(categories)
            columns += categories
            ious += overlaps.tolist()
            count += 1
    return Scores(
        confidences[:count],
        torch.tensor(rows, dtype=torch.long),
        torch.tensor(columns, dtype=torch.long),
        torch.tensor(ious).view(-1, 3),
        left_out,
    )


def report(title: str, results: dict[str, Any]) -> str:
    """Lay the results out as a table, and below it what was left out."""
    lines = [title, f"{'':<12}{'mAP':>8}{'published':>12}"]
    for threshold in (0.3, 0.4, 0.5):
        key = f"mAP@{threshold}"
        lines.append(
            f"IoU > {threshold:<6}{results[key]:>8.3f}{results[f'{key}/published']:>12.3f}"
        )
    lines.append(
        f"mean IoU {results['mean_iou']:.3f} of {results['pairs']} masks; "
        f"of masks that are the whole image {results['mean_iou/whole_image']:.3f}"
    )
    for key, text in (
        ("absent_categories", "categories in none of the images"),
        ("images_left_out", "images left out, their files cannot be read"),
    ):
        if results[key]:
            lines.append(f"{text}: {listed(results[key])}")
    if not results["images"]:
        lines.append("nothing could be scored: no image could be read")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Score the masks, print the table and return the results."""
    device = select_device(args.device)
    paths = data_paths(args.data_root, args.dataset)
    paths.existing(paths.images)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    images, names = read_instances(paths, crowds=not args.no_crowd)
    if args.split:
        chosen = {image.image_id for image in read_captions(paths, (args.split,))}
        images = [image for image in images if image.image_id in chosen]
    images = images[: args.limit]
    texts = encode_texts(
        model,
        [args.prompt.replace("{name}", name) for name in names],
        word_vectors,
        precision=args.precision,
        first_sentence=args.first_sentence,
    )
    batches = map_image_files(
        model,
        [image.path for image in images],
        args.image_size or evaluation_size(args.dataset, IMAGE_SIZE),
        args.batch_size,
        workers=args.workers,
        precision=args.precision,
    )
    scores = score_images(images, batches, texts.to(device), args.components, args.threshold)
    ours, published, whole = scores.ious.unbind(dim=1)
    present = set(scores.categories.tolist())
    results: dict[str, Any] = {
        **segmentation_metrics(
            scores.confidences, scores.images, scores.categories, ours, published
        ),
        "mean_iou/whole_image": whole.mean().item(),
        "images": len(scores.confidences),
        "pairs": len(scores.ious),
        "absent_categories": [name for place, name in enumerate(names) if place not in present],
        "images_left_out": scores.left_out,
    }
    title = f"{args.dataset}: {len(scores.confidences)} of {len(images)} images"
    print(report(f"{title}, {len(names)} categories", results))  # noqa: T201
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
