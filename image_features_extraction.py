"""Embed images: folders, lists of paths or single files in, one unit row an image out.

Examples:
    python image_features_extraction.py -p runs/toy/best.pt -d photos -o photos.npz
    python image_features_extraction.py -p best_model.pth.tar -d photos more -r -o all.parquet
    python image_features_extraction.py -p best_model.pth.tar -d paths.txt -o a.npy --dtype float16
    torchrun --nproc-per-node 8 image_features_extraction.py -p model.pt -d photos -r -o features/
    python image_features_extraction.py -p model.pt -d "s3://bucket/{000..099}.tar" -o features/
    python image_features_extraction.py -o features/ --verify

An image that cannot be read is left out and listed, with the reason, beside the output; the exit
status is 3 then. Names are the paths of the images, as they were given.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run
from misc.cli.options import (
    common_options,
    folder_options,
    image_options,
    model_options,
    script_parser,
)
from misc.cli.output_options import output_options
from misc.data.image_files import IMAGE_SUFFIXES, find_images

if TYPE_CHECKING:
    import torch

    from misc.features.extraction import NamedBatch


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=32, texts=False, required=False),
        output_options("image_embeddings.npz"),
        common_options(precision="auto"),
        folder_options(),
        image_options(),
    )
    parser.add_argument(
        "-d",
        "--data",
        nargs="+",
        metavar="PATH",
        help=f"folders of images ({' '.join(IMAGE_SUFFIXES)}, in any case), images, or text files "
        "with the path of an image a line; or WebDataset tars, paths or URLs that fsspec opens, "
        "'shards/{000..099}.tar' for many, each of which becomes one part of the folder -o",
    )
    return parser


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Extract, report and return how many images were embedded and left out."""
    from misc.data.tars import find_tars
    from misc.features.extraction import check_request
    from misc.features.shards import PATIENCE, verify
    from misc.runtime.device import select_device
    from misc.runtime.distributed import process_group

    if args.verify:
        return verify(args.output)
    check_request(args)
    with process_group(select_device(args.device), PATIENCE) as device:
        tars = find_tars(args.data)
        return extract_tars(args, tars, device) if tars else extract_files(args, device)


def extract_files(args: argparse.Namespace, device: "torch.device") -> dict[str, Any]:
    """Embed image files, into one file or into the parts of a folder."""
    from misc.checkpoints.checkpoint import build_model, read_checkpoint
    from misc.features.extraction import extract, is_folder, named
    from misc.features.plans import list_hash, plan_of, state_of_files
    from misc.features.shards import extract_parts, part_file, parts_of
    from misc.features.writing import check_output
    from misc.inference.acceleration import accelerate_for, precision_of
    from misc.inference.batches import embed_image_files, embed_sample

    images = find_images([Path(source) for source in args.data], args.recursive)
    names, folder = [str(image) for image in images], is_folder(args.output)
    check_output(part_file(args.output, 0) if folder else args.output, folder or args.force)
    checkpoint = read_checkpoint(args.path)
    size = args.image_size or checkpoint.image_size
    model = build_model(checkpoint, args.path).to(device)
    dimension = model.config.embedding_dim
    options = args.precision, lambda model: embed_sample(model, images, size)
    fast = accelerate_for(len(images), model, *options)

    def embed(part: range) -> "Iterable[NamedBatch]":
        chosen = images[part.start : part.stop]
        batches = embed_image_files(fast, chosen, size, args.batch_size, args.workers)
        return named(names[part.start : part.stop], batches, part.start)

    def state(part: range) -> str:
        return state_of_files(images[part.start : part.stop])

    if not folder:
        return extract(args, len(names), embed(range(len(images))), dimension)
    inputs = {"image_size": size, "inputs": list_hash(names)}
    plan = plan_of(args, model, precision_of(fast), inputs)
    parts = parts_of(args.output, len(images), args.shard_size, state)
    return extract_parts(args, plan, parts, embed, dimension)


def extract_tars(
    args: argparse.Namespace, tars: list[str], device: "torch.device"
) -> dict[str, Any]:
    """Embed the images of tars, each tar into a part of its own."""
    from misc.checkpoints.checkpoint import build_model, read_checkpoint
    from misc.data.tars import state_of_tar
    from misc.features.extraction import NamedBatch, is_folder
    from misc.features.plans import list_hash, plan_of
    from misc.features.shards import Part, extract_parts, part_file
    from misc.inference.acceleration import accelerate
    from misc.inference.batches import embed_tar

    if not is_folder(args.output):
        raise ValueError(f"-o {args.output}: images of tars go into a folder, a part for each tar")
    checkpoint = read_checkpoint(args.path)
    size = args.image_size or checkpoint.image_size
    model = build_model(checkpoint, args.path).to(device)
    precision = "float32" if args.precision == "auto" else args.precision
    plan = plan_of(args, model, precision, {"image_size": size, "inputs": list_hash(tars)})
    fast = accelerate(model, precision)

    def embed(url: str) -> "Iterable[NamedBatch]":
        batches = embed_tar(fast, url, size, args.batch_size, args.workers)
        return (NamedBatch(*batch) for batch in batches)

    parts = [
        Part(part_file(args.output, number), url, state_of_tar(url))
        for number, url in enumerate(tars)
    ]
    return extract_parts(args, plan, parts, embed, model.config.embedding_dim)


if __name__ == "__main__":
    run(main, get_parser())
