"""Measure retrieval: recall@{1,5,10}, median and mean rank, in both directions.

Examples:
    python eval_retrieval.py -p runs/toy/best.pt --dataset toy
    python eval_retrieval.py -p best_model.pth.tar -te                  # COCO test: 5K and 1K
    python eval_retrieval.py -p best_model.pth.tar --dataset flickr30k --json flickr.json
"""

import argparse
from typing import Any

from misc.cli import common_options, model_options, positive, run, write_json
from misc.config import DATASETS, PUBLISHED_IMAGE_SIZE, TOY_IMAGE_SIZE, evaluation_size

COCO_TEST_IMAGES = 5000  # a set of this size is also scored by the paper's "1K" protocol


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[model_options(batch_size=32), common_options()],
    )
    parser.add_argument(
        "--dataset", choices=DATASETS, default="coco", help="data set (default: %(default)s)"
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
        "--image-size",
        type=positive,
        help="side of the square that images are squeezed to, in pixels (default: "
        f"{PUBLISHED_IMAGE_SIZE}, toy: {TOY_IMAGE_SIZE})",
    )
    parser.add_argument(
        "--folds",
        type=positive,
        default=1,
        help="cut the images into so many groups and average over them; 5 is the 1K protocol of "
        "COCO, which is printed anyway for 5,000 images",
    )
    return parser


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print the table and return the metrics."""
    from misc.acceleration import accelerate
    from misc.annotations import read_captions
    from misc.dataset import data_paths
    from misc.encode import encode_pairs, load_with_words
    from misc.evaluation import format_metrics, retrieval_metrics
    from misc.runtime import select_device

    device = select_device(args.device)
    paths = data_paths(args.data_root, args.dataset)
    images = read_captions(paths, (args.split,))
    size = args.image_size or evaluation_size(args.dataset)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    model = accelerate(model, args.precision, args.compile)
    image_embeddings, caption_embeddings, caption_image = encode_pairs(
        model,
        images,
        word_vectors,
        size,
        args.batch_size,
        workers=args.workers,
        first_sentence=args.first_sentence,
    )
    embeddings = image_embeddings, caption_embeddings, caption_image
    results: dict[str, Any] = retrieval_metrics(*embeddings, folds=args.folds)
    title = f"{args.dataset} {args.split}: {len(image_embeddings)} images"
    tables = [f"{title}, {len(caption_embeddings)} captions", format_metrics(results)]
    protocol = (
        f"Retrieval on {args.dataset} {args.split}, images of {size} x {size} pixels, "
        f"folds: {args.folds}; recalls in percent, ranks from 1, ties count against the query"
    )
    if len(image_embeddings) == COCO_TEST_IMAGES and args.folds == 1:
        one_thousand = retrieval_metrics(*embeddings, folds=5)
        tables += ["1K protocol: mean over 5 folds of 1,000 images", format_metrics(one_thousand)]
        results |= {f"1K/{key}": value for key, value in one_thousand.items()}
        protocol += "; 1K/ is the mean over 5 folds of 1,000 images"
    results |= {
        "protocol": protocol,
        "images": len(image_embeddings),
        "captions": len(caption_embeddings),
        "images_left_out": len(images) - len(image_embeddings),
    }
    print("\n".join(tables))  # noqa: T201
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
