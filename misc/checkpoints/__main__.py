"""Look into checkpoints, rewrite, publish and export them.

python -m misc.checkpoints info runs/toy/best.pt
python -m misc.checkpoints convert best_model.pth.tar published.pt
python -m misc.checkpoints convert best_model.pth.tar published --safetensors
python -m misc.checkpoints publish runs/toy/best.pt out/model --results retrieval.json
python -m misc.checkpoints publish runs/toy/best.pt out/model --push user/name
python -m misc.checkpoints onnx -p runs/toy/best.pt -o out/onnx
"""

import argparse
import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from misc.cli import run
from misc.cli.options import add_word_vectors, script_parser
from misc.config import default_data_root

CHECKPOINT = "checkpoint: ours, one of 2018, a folder of safetensors, or hf://user/name[@revision]"

logger = logging.getLogger(__name__)


def info(args: argparse.Namespace) -> dict[str, Any]:
    """Print what is in a checkpoint, as JSON, without building its model."""
    from misc.checkpoints.rewriting import describe

    text = json.dumps(describe(args.file), indent=2, default=str)
    print(text)  # noqa: T201
    description: dict[str, Any] = json.loads(text)
    return description


def convert(args: argparse.Namespace) -> Path:
    """Rewrite a checkpoint of 2018, or of ours, in our format, without what resuming needs."""
    from misc.checkpoints import rewriting

    written = rewriting.convert(args.old, args.new, args.safetensors, args.force)
    logger.info("written: %s", written)
    return written


def publish(args: argparse.Namespace) -> Path:
    """Make a folder that others can use, and push it to the Hugging Face hub if asked to.

    The folder has model.safetensors, config.json (settings, sizes of images, a fingerprint of the
    word vectors) and README.md, the model card. -p of all scripts takes it, as it takes
    hf://user/name.
    """
    from misc.checkpoints.hub import push
    from misc.checkpoints.publish import publish

    options = args.data_root, args.word_vectors, args.results, args.license, args.push, args.force
    publish(args.checkpoint, args.folder, *options)
    logger.info("written: %s", args.folder)
    if args.push:
        logger.info("pushed: %s", push(args.folder, args.push))
    folder: Path = args.folder
    return folder


def onnx(args: argparse.Namespace) -> list[Path]:
    """Export a model for use without torch.

    Writes image_encoder.onnx (pixels to unit rows), text_encoder.onnx (word vectors and lengths to
    unit rows), activation_maps.onnx (pixels to projected maps) and model.json, which says how
    images are prepared, and names the word vectors or the pretrained text encoder: neither is in
    these files. Batch, height, width and number of words are dynamic.
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


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(__doc__, prog="python -m misc.checkpoints")
    commands = parser.add_subparsers(required=True, metavar="info | convert | publish | onnx")

    def command(function: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
        description = str(function.__doc__)
        added: argparse.ArgumentParser = commands.add_parser(
            function.__name__,
            help=description.splitlines()[0],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(function=function)
        return added

    command(info).add_argument("file", help=CHECKPOINT)
    _add_convert_options(command(convert))
    _add_publish_options(command(publish))
    exported = command(onnx)
    exported.add_argument("-p", "--path", required=True, help=CHECKPOINT)
    exported.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="where the files go"
    )
    return parser


def _add_convert_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", help=CHECKPOINT)
    parser.add_argument("new", type=Path, help="the file to write; a folder for --safetensors")
    parser.add_argument(
        "--safetensors", action="store_true", help="write model.safetensors and config.json"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")


def _add_publish_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("folder", type=Path, help="the folder to write")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="what eval_retrieval.py, pointing_game.py and semantic_seg.py wrote with --json; it "
        "goes into the model card",
    )
    parser.add_argument(
        "--license",
        default="bsd-3-clause",
        help="of the weights, as the hub calls it (default: %(default)s)",
    )
    add_word_vectors(parser)
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds the data sets (default: %(default)s)",
    )
    parser.add_argument(
        "--push",
        default="",
        metavar="USER/NAME",
        help="upload the folder to this repository of the hub, which is made if there is none; "
        "log in first with: hf auth login",
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is in the folder")


def main(args: argparse.Namespace) -> Any:  # noqa: ANN401
    """Run the command that was chosen."""
    return args.function(args)


if __name__ == "__main__":
    run(main, get_parser())
