"""Search extracted features: the images or texts that are nearest to a text or an image.

Examples:
    python search.py -p runs/toy/best.pt -f photos.npz "a dog next to a pizza" "a red car"
    python search.py -p runs/toy/best.pt -f photos.npz "a dog" --top 8 --open-panel found.png
    python search.py -p runs/toy/best.pt -f captions.parquet -i photo.jpg
    python search.py -p runs/toy/best.pt -f shards --index photos.faiss "a dog"
    python search.py -p runs/toy/best.pt --index photos.faiss "a dog"

Search is exact, without preparation, in up to about a million rows. For more, --index has FAISS
build an index of the features once; from then on it is enough to name the index.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run, write_json
from misc.cli.arguments import positive
from misc.cli.options import common_options, localization_options, model_options, script_parser

if TYPE_CHECKING:
    from torch import Tensor

    from misc.checkpoints.checkpoint import Checkpoint
    from misc.features.search import Answer
    from models.joint_embedding import JointEmbedding


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=8),
        localization_options(),
        common_options(),
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="what to search for")
    parser.add_argument(
        "-i", "--image", type=Path, help="an image to search for, alone or beside texts"
    )
    parser.add_argument(
        "-f",
        "--features",
        type=Path,
        metavar="PATH",
        help="what to search: file (.npz, .npy, .parquet) or folder of parts that "
        "image_features_extraction.py or text_features_extraction.py wrote",
    )
    parser.add_argument(
        "--index",
        type=Path,
        metavar="FILE",
        help="search with this FAISS index; it is built of --features if it does not exist",
    )
    _add_ranking(parser)
    parser.add_argument(
        "--open-panel",
        type=Path,
        metavar="FILE.png",
        help="draw the images that were found, with the heat map of the query over each",
    )
    return parser


def _add_ranking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--top", type=positive, default=10, help="how many to find (default: %(default)s)"
    )
    parser.add_argument(
        "--csls",
        action="store_true",
        help="take from each score half of what the image or text has in common with the ten "
        "nearest of the model's pairs of training, so that hubs, which fit everything, are found "
        "less; without --index",
    )


def check_request(args: argparse.Namespace) -> None:
    """Refuse, before any work, what cannot be answered.

    Raises:
        ValueError: if there is nothing to search for, nothing to search in, hubs cannot be told,
            or the panel is no PNG file.
    """
    if not args.texts and args.image is None:
        raise ValueError("nothing to search for: give a text, or an image with -i")
    if args.features is None and args.index is None:
        raise ValueError("nothing to search in: -f names extracted features, --index an index")
    if args.csls and args.index is not None:
        raise ValueError("--csls is of exact search: leave --index out")
    if args.open_panel is not None and args.open_panel.suffix.lower() != ".png":
        raise ValueError(f"--open-panel {args.open_panel}: the panel is a .png file")


def embed_queries(
    args: argparse.Namespace, checkpoint: "Checkpoint"
) -> tuple["JointEmbedding", "Tensor"]:
    """Load the model, and embed the texts and then the image: (Q, D), unit rows."""
    import torch

    from misc.checkpoints.checkpoint import build_model
    from misc.data.paths import DataPaths
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import encode_images, encode_texts
    from misc.inference.loading import build_with_words
    from misc.runtime.device import select_device

    device = select_device(args.device)
    queries = []
    if args.texts:
        paths = DataPaths(args.data_root)
        model, words = build_with_words(checkpoint, args.path, device, paths, args.word_vectors)
        model = accelerate(model, args.precision)
        options = args.batch_size, args.first_sentence
        queries.append(encode_texts(model, args.texts, words, *options))
    else:  # an image needs no words
        model = build_model(checkpoint, args.path).to(device)
        model = accelerate(model, args.precision)
    if args.image is not None:
        size = args.image_size or checkpoint.image_size
        queries.append(encode_images(model, [args.image], size, batch_size=1)[0])
    return model, torch.cat(queries)


def pairs_of_training(args: argparse.Namespace, checkpoint: "Checkpoint") -> "Tensor | None":
    """Give the images and captions by which hubs are told, (2, R, D), if that is asked for.

    Raises:
        ValueError: if the model keeps none.
    """
    if args.csls and checkpoint.reference is None:
        raise ValueError(
            f"--csls: {args.path} keeps no images and captions of training; leave it out"
        )
    return checkpoint.reference if args.csls else None


def print_answers(answers: "list[Answer]") -> None:
    """Print each query, and what it found with its score, a line each."""
    for answer in answers:
        print(answer.query)  # noqa: T201
        for found in answer.found:
            print(f"  {found.score:.4f}  {found.name}")  # noqa: T201


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Search, print what was found, maybe draw it, and return it."""
    from misc.checkpoints.checkpoint import read_checkpoint
    from misc.features.search import load_gallery, name_answers, nearest

    check_request(args)
    checkpoint = read_checkpoint(args.path)
    reference = pairs_of_training(args, checkpoint)
    model, queries = embed_queries(args, checkpoint)
    if args.index is None:
        names, embeddings = load_gallery(args.features, queries.shape[1])
        scores, rows = nearest(queries, embeddings, args.top, reference, len(args.texts))
    else:
        from misc.features.search_index import open_index  # FAISS, without which exact search does

        index = open_index(args.index, args.features, queries.shape[1])
        names, (scores, rows) = index.names, index.search(queries, args.top)
    labels = args.texts if args.image is None else [*args.texts, str(args.image)]
    answers = name_answers(labels, names, scores, rows)
    print_answers(answers)
    left_out = []
    if args.open_panel is not None:
        from misc.pictures.search_sheet import write_sheet

        left_out = write_sheet(
            args.open_panel,
            model,
            queries,
            answers,
            args.image_size or model.config.localization_size,
            args.components or model.config.heat_map_components,
            batch_size=args.batch_size,
            workers=min(args.workers, args.top // args.batch_size),
            affinity=args.affinity,
        )
    results = {"queries": [dataclasses.asdict(answer) for answer in answers], "left_out": left_out}
    write_json(results, args.json)
    return results


if __name__ == "__main__":
    run(main, get_parser())
