"""Embed images: folders, lists of paths or single files in, one unit row an image out.

Examples:
    python image_features_extraction.py -p runs/toy/best.pt -d photos -o photos.npz
    python image_features_extraction.py -p best_model.pth.tar -d photos more -r -o all.parquet
    python image_features_extraction.py -p best_model.pth.tar -d paths.txt -o a.npy --dtype float16

An image that cannot be read is left out and listed, with the reason, beside the output; the exit
status is 3 then. Names are the paths of the images, as they were given.
"""

import argparse
from pathlib import Path
from typing import Any

from misc.cli import common_options, model_options, output_options, positive, run
from misc.image_files import IMAGE_SUFFIXES, find_images


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[
            model_options(batch_size=32, texts=False),
            output_options("image_embeddings.npz"),
            common_options(),
        ],
    )
    parser.add_argument(
        "-d",
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help=f"folders of images ({' '.join(IMAGE_SUFFIXES)}, in any case), images, or text files "
        "with the path of an image a line",
    )
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="look into folders of folders, too"
    )
    parser.add_argument(
        "--image-size",
        type=positive,
        help="side of the square that images are squeezed to, in pixels (default: 400; 128 for a "
        "model trained on the toy set)",
    )
    return parser


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Extract, report and return how many images were embedded and left out."""
    from misc.checkpoint import build_model, read_checkpoint
    from misc.embeddings import check_output
    from misc.encode import embed_image_files
    from misc.extraction import extract
    from misc.runtime import select_device

    device = select_device(args.device)
    images = find_images(args.data, args.recursive)
    names = [str(image) for image in images]
    check_output(args.output, args.force, names)
    checkpoint = read_checkpoint(args.path)
    model = build_model(checkpoint, args.path).to(device)
    batches = embed_image_files(
        model,
        images,
        args.image_size or checkpoint.image_size,
        args.batch_size,
        workers=args.workers,
        precision=args.precision,
    )
    return extract(args, names, batches, model.config.embedding_dim)


if __name__ == "__main__":
    run(main, get_parser())
