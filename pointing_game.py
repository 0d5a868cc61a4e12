"""Play the pointing game: how often does a phrase's heat map peak inside the phrase's box?

The phrases are Visual Genome's, on the images that are in COCO val2014 too. The published
figure takes the upper-left corner of the highest cell, the first one its centre, the third one that
of the highest cell of the smoothed heat map.

Examples:
    python pointing_game.py -p runs/toy/best.pt --dataset toy
    python pointing_game.py -p best_model.pth.tar --dataset coco    # no Visual Genome needed
    python pointing_game.py -p best_model.pth.tar --json pointing.json
    python pointing_game.py -p best_model.pth.tar -rv --limit 200          # a quick look
"""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import evaluate_and_report, listed, run
from misc.cli.arguments import prompt
from misc.cli.options import (
    common_options,
    evaluation_options,
    localization_options,
    model_options,
    script_parser,
)
from misc.config import evaluation_size

if TYPE_CHECKING:
    import torch

    from misc.runtime.failures import Failure

# And the COCO data that they belong to.
DATASETS = {"visual_genome": "coco", "coco": "coco", "toy": "toy"}
POINTS = {  # the measures of the results, in words
    "pointing_game": "peak, centre of its cell",
    "pointing_game/published": "peak, upper-left corner",
    "pointing_game/smoothed": "peak of the smoothed map",
    "centre_baseline": "centre of the image",
}


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=8),
        localization_options(components=180, peaks=True),
        evaluation_options(
            DATASETS,
            "visual_genome",
            "whose regions; coco: the categories in each image of val2014, in any of whose boxes a "
            "hit counts, which needs no Visual Genome",
        ),
        common_options(),
    )
    parser.add_argument(
        "--prompt",
        type=prompt,
        default="a {name}",
        help="phrase for a category of --dataset coco (default: %(default)s)",
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
    everything = "all images of Visual Genome, also those that COCO val2014 does not have"
    chosen.add_argument("--all-images", action="store_true", help=everything)
    return parser


def report(title: str, results: dict[str, Any]) -> str:
    """Lay the results out as a table, and below it what was left out or can only be missed."""
    lines = [title, f"{'hits in percent':<28}{'all boxes':>12}{'boxes >= 5 %':>16}"]
    for name, words in POINTS.items():
        measure, *variant = name.split("/")
        large = results["/".join([f"{measure}@5%", *variant])]
        note = " (published)" if "published" in variant else ""
        lines.append(f"{words:<28}{results[name]:>12.1f}{large:>16.1f}{note}")
    if "pointing_game@categories" in results:
        shares = (f"{results[f'{name}@categories']:.1f}" for name in POINTS)
        lines.append(f"{'mean of the categories':<28}{', '.join(shares)}")
    lines.append(f"{'regions':<28}{results['regions']:>12}{results['regions@5%']:>16}")
    notes = {
        "blank_phrases": "regions whose phrase is blank, counted as misses",
        "empty_boxes": "regions of no width or height, counted as misses",
        "outside_boxes": "regions outside of their image, counted as misses",
        "missing_images": "images left out, their files are missing",
        "missing_regions": "regions of these",
        "unreadable_images": "images left out, the log says why",
    }
    lines += [f"{text}: {listed(results[key])}" for key, text in notes.items() if results[key]]
    if not results["regions"]:
        lines.append("nothing could be scored: no image could be read")
    return "\n".join(lines)


def evaluate(args: argparse.Namespace, device: "torch.device") -> tuple[dict[str, Any], str]:
    """Play the game, and lay the results out as a table."""
    from misc.data.paths import data_paths
    from misc.evaluation.pointing import chosen_images, gather_hits, score_images, summarize
    from misc.inference.acceleration import accelerate
    from misc.inference.batches import map_image_files
    from misc.inference.encode import encode_texts
    from misc.inference.loading import load_with_words
    from misc.runtime.distributed import own_share

    paths = data_paths(args.data_root, DATASETS[args.dataset])
    if args.visual_genome:
        paths = dataclasses.replace(paths, visual_genome=args.visual_genome)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    model = accelerate(model, args.precision, args.compile)
    asked = args.prompt if args.dataset == "coco" else None
    left_out: list[Failure] = []
    chosen = chosen_images(paths, args.rest_val, args.all_images, asked, left_out)
    images = chosen[: args.limit]
    readable = [image for image in images if image.path]
    size = args.image_size or evaluation_size(args.dataset, model.config.localization_size)
    own = [readable[place] for place in own_share(len(readable), args.batch_size)]
    files = [image.path for image in own if image.path]
    batches = map_image_files(model, files, size, args.batch_size, workers=args.workers)

    def kernels(phrases: list[str]) -> "torch.Tensor":
        options = {"first_sentence": args.first_sentence, "quiet": True}
        texts = encode_texts(model, phrases, word_vectors, **options).to(device)
        return model.localization_kernels(texts, args.components)

    hits = gather_hits(score_images(own, batches, kernels, args.peak_sigma))
    results: dict[str, Any] = {
        "protocol": f"Pointing game on {args.dataset}, images of {size} x {size} pixels, "
        f"{args.components} components, smoothed by {args.peak_sigma:.3g} of the side; percent of "
        "peaks inside of their region's box",
        **summarize(hits, images, by_category=asked is not None),
        "annotations_left_out": len(left_out),
    }
    return results, report(f"{args.dataset}: {results['images']} of {len(images)} images", results)


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Play the game, print the table and return the results."""
    return evaluate_and_report(args, evaluate)


if __name__ == "__main__":
    run(main, get_parser())
