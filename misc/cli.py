"""What the command lines of the scripts have in common."""

import argparse
import dataclasses
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from misc.config import TOY_IMAGE_SIZE, TrainConfig, default_data_root
from misc.runtime.files import replacing
from misc.runtime.memory import keep_freed_memory

SHORT_NAMES = {"auto": "auto", "float32": "fp32", "bfloat16": "bf16"}  # of precisions
LEFT_OUT_STATUS = 3  # exit status when all went well, but for items that had to be left out

logger = logging.getLogger(__name__)


def common_options(precision: str | None = "float32") -> argparse.ArgumentParser:
    """Parent parser of every script: device, data root, workers, precision and JSON.

    Args:
        precision: default of the option; ``None`` leaves it out, for a script that has it from
            elsewhere.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("where and how to run")
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1 …; auto is CUDA where there is one"
    )
    group.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds the data sets; default: $DSVE_DATA, or data (here: %(default)s)",
    )
    group.add_argument(
        "--workers", type=int, default=2, help="processes that read images (default: %(default)s)"
    )
    if precision:
        group.add_argument(
            "--precision",
            type=precision_name,
            default=precision,
            metavar="{auto,fp32,bf16}",
            help="of matrix products and convolutions; auto is bf16 for large sets on hardware "
            f"that is fast with it, if a sample stays the same (default: {SHORT_NAMES[precision]})",
        )
        group.add_argument(
            "--compile",
            action="store_true",
            help="compile the image path with torch.compile, where there is a compiler",
        )
    group.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results to this file, as JSON"
    )
    return parser


def model_options(
    batch_size: int, texts: bool = True, required: bool = True
) -> argparse.ArgumentParser:
    """Parent parser of the scripts that use a trained model.

    Args:
        batch_size: default of the option.
        texts: False where no text is embedded, so that options for texts are left out.
        required: False where a script has something to do without a model, too.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("model")
    group.add_argument(
        "-p",
        "--path",
        required=required,
        help="checkpoint: ours, the 2018 files, a folder of safetensors, or such a folder on the "
        "Hugging Face hub, hf://user/name[@revision]",
    )
    group.add_argument(
        "-bs",
        "--batch-size",
        "--batch_size",
        type=positive,
        default=batch_size,
        help="images or texts in a batch (default: %(default)s)",
    )
    if not texts:
        return parser
    group.add_argument(
        "--word-vectors",
        default="",
        metavar="FOLDER",
        help="folder with dictionary.txt and utable.npy; default: the one that the model was "
        "trained with, else word_vectors under the data root",
    )
    group.add_argument(
        "--first-sentence",
        action="store_true",
        help="embed only the first sentence of a text, as the code of 2018 did",
    )
    return parser


def caption_options() -> argparse.ArgumentParser:
    """Parent parser of the scripts that evaluate on captions of one's own."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("captions of your own, for --dataset captions")
    for field in dataclasses.fields(TrainConfig):  # the very options of train.py
        if field.name in ("captions", "images"):
            group.add_argument(f"--{field.name}", default="", help=field.metadata["help"])
    return parser


def localization_options(
    components: int, threshold: float | None = None
) -> argparse.ArgumentParser:
    """Parent parser of the scripts that compute heat maps.

    Args:
        components: default of the option.
        threshold: default of the share of a heat map's range at which it is cut; ``None`` leaves
            the option out.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("heat maps")
    group.add_argument(
        "-k",
        "--components",
        type=positive,
        default=components,
        help="how many components of a text's embedding count, the largest (default: %(default)s)",
    )
    group.add_argument(
        "--image-size",
        type=positive,
        help="side of the square that images are squeezed to, in pixels "
        f"(default: the model's own size, toy scenes: {TOY_IMAGE_SIZE})",
    )
    if threshold is not None:
        group.add_argument(
            "-ct",
            "--threshold",
            "--ctresh",
            type=share,
            default=threshold,
            help="share of a heat map's range above which a pixel is in the mask, 0 to 1 "
            "(default: %(default)s)",
        )
    return parser


def output_options(default: str) -> argparse.ArgumentParser:
    """Parent parser of the scripts that extract features: where and how embeddings are written.

    Args:
        default: name of the file that is written without ``-o``.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(
        "output", f"The exit status is {LEFT_OUT_STATUS} when an item had to be left out."
    )
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(default),
        metavar="FILE",
        help="file of embeddings, .npz, .npy, .parquet or .pkl (default: %(default)s); what is "
        "left out is listed with reasons in FILE.errors.jsonl. A name without a suffix is a folder "
        "of .parquet parts: a run that was stopped goes on there, and under torchrun each process "
        "writes its own",
    )
    group.add_argument(
        "--shard-size",
        type=positive,
        default=50_000,
        metavar="N",
        help="rows of a part in a folder (default: %(default)s)",
    )
    group.add_argument(
        "--verify",
        action="store_true",
        help="only compare the folder -o with its manifest; nothing else is needed then",
    )
    group.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the file (default: %(default)s)",
    )
    group.add_argument("--force", action="store_true", help="overwrite an existing file")
    group.add_argument(
        "--strict", action="store_true", help="stop at the first item that cannot be embedded"
    )
    return parser


def precision_name(text: str) -> str:
    """Parse a precision, for argparse: a short name, or torch's name of the type."""
    for name, short in SHORT_NAMES.items():
        if text in (name, short):
            return name
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SHORT_NAMES.values())}")


def positive(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def share(text: str) -> float:
    """Parse a number from 0 up to, but not including, 1, for argparse."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 up to 1")
    return number


def add_settings(parser: argparse.ArgumentParser, title: str, config_class: type) -> None:
    """Add an option for each field of a dataclass; options not given are left out of ``args``.

    A field has its help and further option names in its metadata; one without is no option.
    """
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(config_class):
        if not field.metadata:
            continue
        boolean = field.type is bool
        parse = precision_name if field.name == "precision" else field.type
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            *field.metadata["flags"],
            dest=field.name,
            default=argparse.SUPPRESS,
            help=field.metadata["help"],
            **({"action": argparse.BooleanOptionalAction} if boolean else {"type": parse}),
            **({} if boolean else {"metavar": field.type.__name__.upper()}),
        )


def given_settings(args: argparse.Namespace, config_class: type) -> dict[str, Any]:
    """Collect the fields of a dataclass that were set on the command line."""
    names = {field.name for field in dataclasses.fields(config_class)}
    return {name: value for name, value in vars(args).items() if name in names}


def write_json(results: dict[str, Any], path: Path | None) -> None:
    """Write results to a file as JSON, if a path was given; NaN, which JSON lacks, as null."""
    if path is not None:
        valid = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in results.items()
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(valid, indent=2) + "\n", encoding="utf-8")


def configure_logging() -> None:
    """Send progress to stderr, a time before each line; stdout is for results.

    Of the processes that ``torchrun`` starts, those after the first send warnings only, with their
    number.
    """
    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(
        level=logging.WARNING if rank else logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {f'[{rank}] ' if rank else ''}%(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it is loaded


def listed(ids: Sequence[object]) -> str:
    """Say how many there are, and which: the first ten of them."""
    return f"{len(ids)} ({', '.join(map(str, ids[:10]))}{', …' if len(ids) > 10 else ''})"


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Run a script: a user's mistake ends it with one clear line, not with a traceback.

    Results that say that something was ``left_out`` make the exit status ``LEFT_OUT_STATUS``.
    """
    configure_logging()
    keep_freed_memory()
    args = parser.parse_args()
    try:
        results = main(args)
    except (OSError, ValueError, FloatingPointError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: interrupted")
    # torchrun takes any status but 0 for a failure, and starts all over.
    if isinstance(results, dict) and results.get("left_out") and not _under_torchrun():
        sys.exit(LEFT_OUT_STATUS)


def _under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
