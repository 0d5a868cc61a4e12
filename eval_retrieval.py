"""Measure retrieval: recall@{1,5,10}, median and mean rank, in both directions.

Examples:
    python eval_retrieval.py -p runs/toy/best.pt --dataset toy
    python eval_retrieval.py -p best_model.pth.tar -te                  # COCO test: 5K and 1K
    python eval_retrieval.py -p best_model.pth.tar --dataset flickr30k --json flickr.json
"""

import argparse
from typing import TYPE_CHECKING, Any

from misc.cli import evaluate_and_report, listed, run
from misc.cli.arguments import positive
from misc.cli.options import (
    caption_options,
    common_options,
    evaluation_options,
    image_options,
    model_options,
    script_parser,
)
from misc.config import DATASETS, evaluation_size

if TYPE_CHECKING:
    import torch

    from misc.data.captioned_images import CaptionedImage
    from misc.data.paths import DataPaths
    from misc.runtime.failures import Failure

COCO_TEST_IMAGES = 5000  # a set of this size is also scored by the paper's "1K" protocol


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=32),
        evaluation_options(DATASETS, default="coco", limit=False),
        image_options(),
        caption_options(),
        common_options(),
    )
    parser.add_argument(
        "--split",
        choices=("train", "restval", "val", "test"),
        default="val",
        help="which of its images (default: %(default)s)",
    )
    for flag, split in (("-tr", "train"), ("-te", "test")):
        parser.add_argument(
            flag, dest="split", action="store_const", const=split, help=f"same as --split {split}"
        )
    parser.add_argument(
        "--folds",
        type=positive,
        default=1,
        help="cut the images into so many groups and average over them; 5 is the 1K protocol of "
        "COCO, which is printed anyway for 5,000 images",
    )
    return parser


def listed_and_found(
    args: argparse.Namespace, paths: "DataPaths", left_out: "list[Failure]"
) -> "tuple[list[CaptionedImage], list[CaptionedImage]]":
    """Read the images of the split, and say which of them have a file."""
    from misc.data.captions import read_captions
    from misc.data.photographs import only_found

    images = read_captions(paths, (args.split,), left_out)
    return images, only_found(images, f"{args.dataset} {args.split}", paths.folder)


def evaluate(args: argparse.Namespace, device: "torch.device") -> tuple[dict[str, Any], str]:
    """Compute the metrics and lay them out as a table."""
    from misc.data.paths import data_paths
    from misc.evaluation.retrieval import format_metrics, retrieval_metrics
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import encode_pairs
    from misc.inference.loading import load_with_words

    paths = data_paths(args.data_root, args.dataset, args.captions, args.images)
    left_out: list[Failure] = []
    listed_images, images = listed_and_found(args, paths, left_out)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    size = args.image_size or evaluation_size(args.dataset, model.config.input_size)
    model = accelerate(model, args.precision, args.compile)
    embeddings = encode_pairs(
        model, images, word_vectors, size, args.batch_size, args.workers, args.first_sentence
    )
    count, captions = len(embeddings[0]), len(embeddings[1])
    results: dict[str, Any] = retrieval_metrics(*embeddings, folds=args.folds)
    title = (
        f"{args.dataset} {args.split}: {count} of {len(listed_images)} images, {captions} captions"
    )
    missing = [image.image_id for image in listed_images if not image.found]
    protocol = (
        f"Retrieval on {args.dataset} {args.split}, images of {size} x {size} pixels, "
        f"folds: {args.folds}; recalls in percent, ranks from 1, ties count against the query"
    )
    thousand, lines = one_thousand(args, len(listed_images) - count + len(left_out), embeddings)
    results |= {
        **{f"1K/{key}": value for key, value in thousand.items()},
        "protocol": "; ".join([protocol, *lines[:1]]),
        "images": count,
        "captions": captions,
        "missing_images": missing,
        "images_left_out": len(images) - count,
        "annotations_left_out": len(left_out),
    }
    if missing:
        lines.append(f"images left out, their files are missing: {listed(missing)}")
    return results, "\n".join([title, format_metrics(results), *lines])


def one_thousand(
    args: argparse.Namespace, left_out: int, embeddings: "tuple[torch.Tensor, ...]"
) -> tuple[dict[str, float], list[str]]:
    """Score by the paper's "1K" protocol, if the set is of its size; and say so, or why not."""
    from misc.evaluation.retrieval import format_metrics, retrieval_metrics

    images, captions, caption_image = embeddings
    count = len(images)
    if args.folds != 1 or not count <= COCO_TEST_IMAGES <= count + left_out:
        return {}, []
    if count < COCO_TEST_IMAGES:
        needed = f"it takes {COCO_TEST_IMAGES:,} images, and {count:,} can be read"
        return {}, [f"1K protocol: not given, as {needed}"]
    metrics = retrieval_metrics(images, captions, caption_image, folds=5)
    title = "1K protocol: 1K/ is the mean over 5 folds of 1,000 images"
    return metrics, [title, format_metrics(metrics)]


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print the table and return the metrics."""
    return evaluate_and_report(args, evaluate)


if __name__ == "__main__":
    run(main, get_parser())
