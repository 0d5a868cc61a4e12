"""Measure retrieval: recall@{1,5,10}, median and mean rank, in both directions.

Examples:
    python eval_retrieval.py -p runs/toy/best.pt --dataset toy
    python eval_retrieval.py -p best_model.pth.tar -te                  # COCO test: 5K and 1K
    python eval_retrieval.py -p best_model.pth.tar --dataset flickr30k --json flickr.json
    python eval_retrieval.py -p best_model.pth.tar -te --protocol eccv
    python eval_retrieval.py -p best_model.pth.tar -te --save-ranks ranks.csv
"""

import argparse
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from misc.cli import Evaluated, evaluate_and_report, listed, run
from misc.cli.arguments import positive
from misc.cli.options import (
    caption_options,
    common_options,
    evaluation_options,
    image_options,
    model_options,
    script_parser,
)
from misc.cli.output_options import add_table
from misc.config import DATASETS

if TYPE_CHECKING:
    import torch

    from misc.data.captioned_images import CaptionedImage
    from misc.data.paths import DataPaths
    from misc.runtime.failures import Failure

CSLS = "CSLS: csls/ is by similarities without hubs, told by {} images and captions of training"
NO_1K = "1K protocol: not given, as it takes {:,} images, and {:,} can be read"
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
    parser.add_argument(
        "--protocol",
        choices=("eccv",),
        help="on COCO's test split, also by the positives that were found later: ECCV Caption "
        "(mAP@R, R-Precision, R@1) and CxC (R@1, 5, 10); needs the package eccv_caption",
    )
    add_table(parser, "--save-ranks", "a row a query, its rank and what came first,")
    return parser


def listed_and_found(
    args: argparse.Namespace, paths: "DataPaths", left_out: "list[Failure]"
) -> "tuple[list[CaptionedImage], list[CaptionedImage]]":
    """Read the images of the split, and say which of them have a file.

    Raises:
        ValueError: if they cannot be scored, or their ranks not be written, as is asked for.
    """
    from misc.data.captions import read_captions
    from misc.data.photographs import only_found
    from misc.evaluation.protocols import check_protocol
    from misc.runtime.tables import check_table

    images = read_captions(paths, (args.split,), left_out)
    if args.protocol:
        check_protocol(images)
    if args.save_ranks:
        check_table(args.save_ranks, sum(1 + len(image.captions) for image in images))
    return images, only_found(images, f"{args.dataset} {args.split}", paths.folder)


def evaluate(args: argparse.Namespace, device: "torch.device") -> Evaluated:
    """Compute the metrics and lay them out as a table."""
    from misc.checkpoints.checkpoint import read_checkpoint
    from misc.data.paths import data_paths
    from misc.evaluation.query_tables import RANK_COLUMNS, rank_rows
    from misc.evaluation.retrieval import rank_pairs, summarize
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import encode_pairs
    from misc.inference.loading import build_with_words
    from misc.runtime.tables import write_table

    paths = data_paths(args.data_root, args.dataset, args.captions, args.images)
    left_out: list[Failure] = []
    listed_images, images = listed_and_found(args, paths, left_out)
    checkpoint = read_checkpoint(args.path)
    model, words = build_with_words(checkpoint, args.path, device, paths, args.word_vectors)
    size = args.image_size or model.config.input_size
    model = accelerate(model, args.precision)
    embedded: list[CaptionedImage] = []
    inputs = images, words, size, args.batch_size, args.workers, args.first_sentence
    embeddings = encode_pairs(model, *inputs, embedded=embedded)
    rankings = rank_pairs(*embeddings, folds=args.folds)
    lacking = len(listed_images) - len(embedded) + len(left_out)
    further = further_scores(args, lacking, embedded, embeddings, checkpoint.reference)
    results: dict[str, Any] = {
        **summarize(rankings),
        **further.metrics,
        "protocol": "; ".join([_protocol(args, size), *further.titles]),
        "images": len(embedded),
        "captions": len(embeddings[1]),
        "missing_images": [image.image_id for image in listed_images if not image.found],
        "images_left_out": len(images) - len(embedded),
        "annotations_left_out": len(left_out),
    }
    rows = rank_rows(rankings, embedded)
    save = functools.partial(write_table, args.save_ranks, RANK_COLUMNS, rows)
    table = report(f"{args.dataset} {args.split}", len(listed_images), results, further.lines)
    return Evaluated(results, table, save if args.save_ranks else None)


def _protocol(args: argparse.Namespace, size: int) -> str:
    return (
        f"Retrieval on {args.dataset} {args.split}, images of {size} x {size} pixels, "
        f"folds: {args.folds}; recalls in percent, ranks from 1, ties count against the query"
    )


def report(split: str, count: int, results: dict[str, Any], lines: list[str]) -> str:
    """Lay the results on a split of so many images out as a table, with further lines below it."""
    from misc.evaluation.retrieval import format_metrics

    title = f"{split}: {results['images']} of {count} images, {results['captions']} captions"
    if missing := results["missing_images"]:
        lines = [*lines, f"images left out, their files are missing: {listed(missing)}"]
    return "\n".join([title, format_metrics(results), *lines])


class Further(NamedTuple):
    """What is scored beside the similarities of all."""

    metrics: dict[str, float]
    titles: list[str]  # what they are
    lines: list[str]  # of the report


def further_scores(
    args: argparse.Namespace,
    left_out: int,
    images: "list[CaptionedImage]",
    embeddings: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]",
    reference: "torch.Tensor | None",
) -> Further:
    """Score without hubs, if the model can tell them, and by the other protocols.

    Args:
        args: as parsed.
        left_out: how many images and annotations there are no embeddings of.
        images: that were embedded.
        embeddings: of ``encode_pairs``.
        reference: the checkpoint's.
    """
    from misc.evaluation.protocols import format_protocols, protocol_metrics
    from misc.evaluation.retrieval import format_metrics, rank_pairs, summarize

    found = Further({}, [], [])

    def add(prefix: str, title: str, folds: int, reference: "torch.Tensor | None" = None) -> None:
        metrics = summarize(rank_pairs(*embeddings, folds=folds, reference=reference))
        found.metrics.update({f"{prefix}/{key}": value for key, value in metrics.items()})
        found.titles.append(title)
        found.lines.extend([title, format_metrics(metrics)])

    if reference is not None:
        add("csls", CSLS.format(reference.shape[1]), args.folds, reference)
    if args.folds == 1 and len(images) <= COCO_TEST_IMAGES <= len(images) + left_out:
        if len(images) == COCO_TEST_IMAGES:
            add("1K", "1K protocol: 1K/ is the mean over 5 folds of 1,000 images", 5)
        else:
            found.titles.append(NO_1K.format(COCO_TEST_IMAGES, len(images)))
            found.lines.append(found.titles[-1])
    if args.protocol:
        positives = protocol_metrics(images, *embeddings[:2])
        found.metrics.update(positives)
        found.lines.extend(format_protocols(positives))
    return found


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print the table and return the metrics."""
    return evaluate_and_report(args, evaluate)


if __name__ == "__main__":
    run(main, get_parser())
