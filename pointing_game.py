"""Play the pointing game: how often does a phrase's heat map peak inside the phrase's box?

The phrases are Visual Genome's, on the images that are in COCO val2014 too, those of Flickr30k
Entities, or the sentences of RefCOCO, RefCOCO+ and RefCOCOg. The published figure takes the
upper-left corner of the highest cell, of heat maps that are not shared, the first one the centre,
the third one that of the highest cell of the smoothed heat map.

Examples:
    python pointing_game.py -p runs/toy/best.pt --dataset toy
    python pointing_game.py -p best_model.pth.tar --dataset coco    # no Visual Genome needed
    python pointing_game.py -p best_model.pth.tar --dataset flickr30k_entities --split test
    python pointing_game.py -p best_model.pth.tar --dataset refcoco --split testA
    python pointing_game.py -p best_model.pth.tar --json pointing.json
    python pointing_game.py -p best_model.pth.tar --save-hits hits.csv
    python pointing_game.py -p best_model.pth.tar -rv --limit 200          # a quick look
"""

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import Evaluated, evaluate_and_report, run
from misc.cli.arguments import prompt
from misc.cli.options import (
    common_options,
    evaluation_options,
    localization_options,
    model_options,
    script_parser,
)
from misc.cli.output_options import add_table

if TYPE_CHECKING:
    import torch

    from misc.data.paths import DataPaths
    from misc.runtime.failures import Failure
    from models.config import ModelConfig

# And the captioned photographs that they belong to.
DATASETS = {
    "visual_genome": "coco",
    "flickr30k_entities": "flickr30k",
    "refcoco": "coco",
    "refcoco+": "coco",
    "refcocog": "coco",
    "coco": "coco",
    "toy": "toy",
}
WITH_SPLITS = ("flickr30k_entities", "refcoco", "refcoco+", "refcocog")


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=8),
        localization_options(peaks=True),
        evaluation_options(
            DATASETS,
            "visual_genome",
            "whose phrases; flickr30k_entities: of captions, with the boxes of what they name; "
            "refcoco, refcoco+, refcocog: sentences that tell a thing from all others; coco: the "
            "categories in each image of val2014, which needs no Visual Genome. A hit counts in "
            "any box of a phrase",
        ),
        common_options(),
    )
    parser.add_argument(
        "--prompt",
        type=prompt,
        default="a {name}",
        help="phrase for a category of --dataset coco (default: %(default)s)",
    )
    add_table(parser, "--save-hits", "a row a phrase, its peaks and what they hit,")
    _add_splits(parser)
    _add_visual_genome(parser)
    return parser


def _add_splits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(f"--dataset {', '.join(WITH_SPLITS)}")
    group.add_argument(
        "--split",
        choices=("val", "test", "testA", "testB"),
        help="which of its photographs; testA is of people, testB of all else, in refcoco and "
        "refcoco+ (default: val)",
    )
    group.add_argument(
        "--images",
        default="",
        metavar="FOLDER",
        help="the photographs, named by their id, or as COCO's or Flickr8k's are (default: of "
        "Entities those of flickr30k, then flickr8k, else those of coco, under the data root)",
    )


def _add_visual_genome(parser: argparse.ArgumentParser) -> None:
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


def paths_of(args: argparse.Namespace) -> "DataPaths":
    """Say where the files of the data set are.

    Raises:
        ValueError: if an option is for another data set.
    """
    from misc.data.paths import data_paths

    if (args.split or args.images) and args.dataset not in WITH_SPLITS:
        raise ValueError(f"--split and --images are for --dataset {', '.join(WITH_SPLITS)}")
    paths = data_paths(args.data_root, DATASETS[args.dataset], images=args.images)
    return dataclasses.replace(paths, visual_genome=args.visual_genome or paths.visual_genome)


def heat_maps_of(args: argparse.Namespace, config: "ModelConfig") -> tuple[int, int, float, float]:
    """Say what heat maps are asked for: size, components, sigma and affinity."""
    own = config.localization_affinity
    return (
        args.image_size or config.localization_size,
        args.components or config.heat_map_components,
        args.peak_sigma,
        own if args.affinity is None else args.affinity,
    )


def protocol(name: str, size: int, components: int, sigma: float, affinity: float) -> str:
    """Say how the figures come about, on a data set, with images of a size in pixels."""
    shared = f"heat maps shared with affinity {affinity:.3g}, " if affinity else ""
    return (
        f"Pointing game on {name}, images of {size} x {size} pixels, {components} components, "
        f"{shared}smoothed by {sigma:.3g} of the side; percent of peaks inside of their region's "
        "box"
    )


def evaluate(args: argparse.Namespace, device: "torch.device") -> Evaluated:
    """Play the game, and lay the results out as a table."""
    from misc.checkpoints.checkpoint import read_checkpoint
    from misc.data.questions import read_questions
    from misc.evaluation.pointing import play
    from misc.evaluation.pointing_results import format_results, summarize
    from misc.evaluation.presence_results import format_presence, measure_presence
    from misc.evaluation.query_tables import HIT_COLUMNS, hit_rows
    from misc.inference.acceleration import accelerate
    from misc.inference.loading import build_with_words
    from misc.runtime.tables import check_table, write_table

    paths, checkpoint = paths_of(args), read_checkpoint(args.path)
    sources = args.path, device, paths, args.word_vectors
    model, word_vectors = build_with_words(checkpoint, *sources)
    model = accelerate(model, args.precision)
    left_out: list[Failure] = []
    choice = args.split or "val", args.rest_val, args.all_images, args.prompt
    questions = read_questions(paths, args.dataset, *choice, left_out).first(args.limit)
    if args.save_hits:
        check_table(args.save_hits, sum(len(image.phrases) for image in questions.images))
    options = args.batch_size, args.workers, args.first_sentence
    described = heat_maps_of(args, model.config)
    game = play(model, word_vectors, questions.images, *described, *options)
    by_category = args.dataset == "coco"
    asked = questions.images, game, checkpoint.reference_images, by_category, args.first_sentence
    presence = measure_presence(model, word_vectors, *asked)
    name = args.dataset + (f" ({questions.source})" if questions.source else "")
    results: dict[str, Any] = {
        "protocol": protocol(name, *described),
        **summarize(game, questions, by_category),
        **presence,
        "annotations_left_out": len(left_out),
    }
    title = f"{name}: {results['images']} of {len(questions.images)} images"
    text = "\n".join([format_results(title, results), *format_presence(presence)])
    rows = hit_rows(game, questions.images)
    save = functools.partial(write_table, args.save_hits, HIT_COLUMNS, rows)
    return Evaluated(results, text, save if args.save_hits else None)


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Play the game, print the table and return the results."""
    return evaluate_and_report(args, evaluate)


if __name__ == "__main__":
    run(main, get_parser())
