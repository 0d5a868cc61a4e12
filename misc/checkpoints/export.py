"""Export a model for use without torch.

python -m misc.export onnx -p runs/toy/best.pt -o out/onnx

Writes image_encoder.onnx (pixels to unit rows), text_encoder.onnx (word vectors and lengths to
unit rows), activation_maps.onnx (pixels to projected maps) and model.json, which says how images
are prepared. Batch, height, width and number of words are dynamic.
"""

import argparse
import importlib.util
import logging
from pathlib import Path

from misc.cli import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m misc.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", choices=("onnx",), help="what to write")
    parser.add_argument(
        "-p", "--path", required=True, help="checkpoint: ours, a folder, hf://user/name, or of 2018"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the files go"
    )
    return parser


def main(args: argparse.Namespace) -> list[Path]:
    """Write the files, print their names and return them.

    Raises:
        ValueError: if what the export needs is not installed.
    """
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        raise ValueError("the export needs: pip install -r requirements-export.txt")
    from misc.checkpoints.checkpoint import build_model, read_checkpoint
    from misc.checkpoints.onnx_models import write_onnx_files

    for library in ("onnx_ir", "onnxscript"):  # which tell every step of theirs
        logging.getLogger(library).setLevel(logging.WARNING)
    checkpoint = read_checkpoint(args.path)
    model = build_model(checkpoint, args.path)
    files = write_onnx_files(model, checkpoint.image_size, args.output)
    print("\n".join(str(file) for file in files))  # noqa: T201
    return files


if __name__ == "__main__":
    run(main, get_parser())
