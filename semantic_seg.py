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
from typing import TYPE_CHECKING, Any

from misc.cli import Evaluated, evaluate_and_report, listed, run
from misc.cli.arguments import prompt
from misc.cli.options import (
    common_options,
    evaluation_options,
    localization_options,
    model_options,
    script_parser,
)

if TYPE_CHECKING:
    import torch

    from misc.data.outlines import InstanceImage
    from misc.data.paths import DataPaths
    from misc.runtime.failures import Failure


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=8),
        localization_options(components=10, threshold=0.45),
        evaluation_options(("coco", "toy"), "coco", "whose val2014 images and outlines"),
        common_options(),
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
    return parser


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
        ("missing_images", "images left out, their files are missing"),
        ("images_left_out", "images left out, the log says why"),
    ):
        if results[key]:
            lines.append(f"{text}: {listed(results[key])}")
    if not results["images"]:
        lines.append("nothing could be scored: no image could be read")
    return "\n".join(lines)


def outlined_images(
    args: argparse.Namespace, paths: "DataPaths", left_out: "list[Failure]"
) -> "tuple[list[InstanceImage], list[str]]":
    """Read the images of val2014 or of a split of it, and the names of all categories."""
    from misc.data.captions import read_captions
    from misc.data.outlines import read_instances

    images, names = read_instances(paths, not args.no_crowd, left_out)
    if args.split:
        chosen = {image.image_id for image in read_captions(paths, (args.split,), left_out)}
        images = [image for image in images if image.image_id in chosen]
    return images, names


def protocol(args: argparse.Namespace, split: str, size: int, own_affinity: float) -> str:
    """Say how the figures come about, on a split, with images of a size in pixels."""
    affinity = own_affinity if args.affinity is None else args.affinity
    shared = f"heat maps shared with affinity {affinity:.3g}, " if affinity else ""
    return (
        f"Segmentation on {split}, images of {size} x {size} pixels, {args.components} components, "
        f"{shared}masks cut at {args.threshold}; from 0 to 1"
    )


def evaluate(args: argparse.Namespace, device: "torch.device") -> Evaluated:
    """Score the masks, and lay the results out as a table."""
    from misc.data.paths import data_paths
    from misc.data.photographs import only_found
    from misc.evaluation.segmentation import gather_scores, score_images, summarize
    from misc.inference.acceleration import accelerate
    from misc.inference.batches import map_image_files
    from misc.inference.encode import encode_texts
    from misc.inference.loading import load_with_words
    from misc.runtime.distributed import own_share

    paths = data_paths(args.data_root, args.dataset)
    left_out: list[Failure] = []
    listed_images, names = outlined_images(args, paths, left_out)
    split = f"{args.dataset} {args.split or 'val2014'}"
    images = only_found(listed_images, split, paths.folder)[: args.limit]
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    model = accelerate(model, args.precision)
    size = args.image_size or model.config.input_size
    prompts = [args.prompt.replace("{name}", name) for name in names]
    texts = encode_texts(model, prompts, word_vectors, first_sentence=args.first_sentence)
    kernels = model.localization_kernels(texts.to(device), args.components)
    share = own_share(len(images), args.batch_size)
    own = [images[place] for place in share]
    files = [image.path for image in own]
    options = args.batch_size, args.workers, args.affinity
    batches = map_image_files(model, files, size, *options)
    scores = score_images(own, batches, texts.to(device), kernels, args.threshold)
    results: dict[str, Any] = {
        "protocol": protocol(args, split, size, model.config.localization_affinity),
        **summarize(gather_scores(scores, share), names),
        "missing_images": [image.image_id for image in listed_images if not image.found],
        "annotations_left_out": len(left_out),
    }
    title = f"{args.dataset}: {results['images']} of {len(images)} images"
    return Evaluated(results, report(f"{title}, {len(names)} categories", results))


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Score the masks, print the table and return the results."""
    return evaluate_and_report(args, evaluate)


if __name__ == "__main__":
    run(main, get_parser())
