"""Make a folder of a checkpoint that others can use, and push it to the Hugging Face hub.

python -m misc.publish runs/toy/best.pt out/toy-model --results retrieval.json pointing.json
python -m misc.publish runs/toy/best.pt out/toy-model --push user/name

The folder has model.safetensors, config.json (settings, sizes of images, a fingerprint of the word
vectors) and README.md, the model card. -p of all scripts takes it, as it takes hf://user/name.
"""

import argparse
import logging
from pathlib import Path

from misc.cli import run
from misc.config import DataPaths, default_data_root

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m misc.publish",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="ours, one of 2018, a folder or hf://user/name")
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
    parser.add_argument(
        "--word-vectors",
        default="",
        metavar="FOLDER",
        help="those the model was trained with; default: what its training recorded, else "
        "word_vectors under the data root",
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds the data sets (default: %(default)s)",
    )
    parser.add_argument(
        "--push",
        metavar="USER/NAME",
        help="upload the folder to this repository of the hub, which is made if there is none; "
        "log in first with: hf auth login",
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is in the folder")
    return parser


def main(args: argparse.Namespace) -> Path:
    """Write the folder, push it if asked to, and return it.

    Raises:
        FileExistsError: if there is a model already and ``--force`` was not given.
    """
    from misc.checkpoints.checkpoint import build_model, read_checkpoint
    from misc.checkpoints.hub import PREFIX, push, save_folder
    from misc.checkpoints.model_card import model_card, read_results
    from misc.data.pairs import find_word_vectors

    if (args.folder / "config.json").exists() and not args.force:
        raise FileExistsError(f"{args.folder} has a config.json already; --force overwrites it")
    results = [read_results(file) for file in args.results]
    checkpoint = read_checkpoint(args.checkpoint)
    training = checkpoint.training.get("config", {})
    word_vectors = find_word_vectors(
        args.word_vectors,
        DataPaths(args.data_root),
        training.get("word_vectors", ""),
        checkpoint.config.word_dim,
        checkpoint.word_table,
    )
    checkpoint.word_table = word_vectors.fingerprint()
    for name in {"word_vectors", "image_weights"} & set(training):  # others lack our folders
        training[name] = Path(training[name]).name
    model = build_model(checkpoint, args.checkpoint)
    source = f"{PREFIX}{args.push}" if args.push else str(args.folder)
    save_folder(args.folder, model, model_card(model, source, args.license, results))
    logger.info("written: %s", args.folder)
    if args.push:
        logger.info("pushed: %s", push(args.folder, args.push))
    return args.folder


if __name__ == "__main__":
    run(main, get_parser())
