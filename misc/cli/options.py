"""The options that scripts share: parent parsers, and settings as options."""

import argparse
import dataclasses
from collections.abc import Collection
from pathlib import Path

from misc.cli.arguments import SHORT_NAMES, not_negative, positive, precision_name, share
from misc.cli.scripts import LEFT_OUT_STATUS
from misc.config import TrainConfig, default_data_root

PEAK_SIGMA = 0.05  # of the image's sides: the best on validation photographs


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples of a description as they are, and gives options' help more room."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


def script_parser(
    description: str | None, *parents: argparse.ArgumentParser, prog: str | None = None
) -> argparse.ArgumentParser:
    """Make the parser of a script of its docstring and of the options that it shares.

    Args:
        description: the docstring.
        parents: parsers of shared options.
        prog: how it is run; ``None`` for a file at the root.
    """
    return argparse.ArgumentParser(
        prog, description=description, formatter_class=HelpFormatter, parents=list(parents)
    )


def common_options(precision: str | None = "float32") -> argparse.ArgumentParser:
    """Parent parser of every script: device, data root, workers, precision and JSON.

    Args:
        precision: default of the option; "auto" where it may be chosen by a sample; ``None``
            leaves the option out, for a script that has it from elsewhere.
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
        "--workers",
        type=int,
        default=2,
        help="that read images: threads, or processes in training (default: %(default)s)",
    )
    if precision:
        _add_precision(group, precision)
    group.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results to this file, as JSON"
    )
    return parser


def _add_precision(group: argparse._ArgumentGroup, default: str) -> None:
    names = [name for name in SHORT_NAMES if name != "auto" or default == "auto"]
    chosen = "; auto is bf16 for large sets on hardware that is fast with it, if a sample stays "
    group.add_argument(
        "--precision",
        type=precision_name(names),
        default=default,
        metavar=f"{{{','.join(SHORT_NAMES[name] for name in names)}}}",
        help="of matrix products and convolutions"
        f"{chosen + 'the same' if default == 'auto' else ''} (default: {SHORT_NAMES[default]})",
    )


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
    if texts:
        add_word_vectors(group)
        group.add_argument(
            "--first-sentence",
            action="store_true",
            help="embed only the first sentence of a text, as the code of 2018 did",
        )
    return parser


def add_word_vectors(group: argparse._ActionsContainer) -> None:
    """Add the option that names the word vectors of a trained model."""
    group.add_argument(
        "--word-vectors",
        default="",
        metavar="SOURCE",
        help="folder with dictionary.txt and utable.npy, or a pretrained text encoder, as for "
        "train.py; default: what the model was trained with, else word_vectors under the data root",
    )


def evaluation_options(
    datasets: Collection[str], default: str, help: str = "data set", limit: bool = True
) -> argparse.ArgumentParser:
    """Parent parser of the scripts that evaluate: the data set, and how much of it.

    Args:
        datasets: names to choose from.
        default: one of them.
        help: what they are.
        limit: True offers to look at the first images only.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(
        "data",
        f"The exit status is {LEFT_OUT_STATUS} when an image or an annotation had to be left out.",
    )
    group.add_argument(
        "--dataset", choices=datasets, default=default, help=f"{help} (default: %(default)s)"
    )
    if limit:
        group.add_argument(
            "--limit", type=positive, metavar="N", help="only the first N images, for a quick look"
        )
    return parser


def folder_options() -> argparse.ArgumentParser:
    """Parent parser of the scripts whose users name folders of images."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="look into folders of folders, too"
    )
    return parser


def image_options() -> argparse.ArgumentParser:
    """Parent parser of the scripts that embed images without heat maps."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_image_size(parser.add_argument_group("images"))
    return parser


def _add_image_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--image-size",
        type=positive,
        metavar="N",
        help="side of the square that images are squeezed to, in pixels; heat maps from 1.5 times "
        "the model's input size on are the mean of those of both sizes (default: the model's own)",
    )


def caption_options() -> argparse.ArgumentParser:
    """Parent parser of the scripts that evaluate on captions of one's own."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("captions of your own, for --dataset captions")
    for field in dataclasses.fields(TrainConfig):  # the very options of train.py
        if field.name in ("captions", "images"):
            group.add_argument(f"--{field.name}", default="", help=field.metadata["help"])
    return parser


def localization_options(
    components: int | None = None, threshold: float | None = None, peaks: bool = False
) -> argparse.ArgumentParser:
    """Parent parser of the scripts that compute heat maps.

    Args:
        components: default of the option; ``None`` is the model's own.
        threshold: default of the share of a heat map's range at which it is cut; ``None`` leaves
            the option out.
        peaks: True where peaks are looked for.
    """
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("heat maps")
    group.add_argument(
        "-k",
        "--components",
        type=positive,
        default=components,
        help="how many components of a text's embedding count, the largest (default: "
        + (f"{components})" if components else "the model's own, 180 for the weights of 2018)"),
    )
    _add_image_size(group)
    _add_affinity(group)
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
    if peaks:
        add_peak_sigma(group)
    return parser


def _add_affinity(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--affinity",
        type=not_negative,
        metavar="X",
        help="share heat maps among locations that look alike, by a softmax of X times the cosines "
        "of their maps; 0: not (default: the model's own, 0 for the weights of 2018)",
    )


def add_peak_sigma(group: argparse._ActionsContainer) -> None:
    """Add the option that says how heat maps are smoothed before their peaks are looked for."""
    group.add_argument(
        "--peak-sigma",
        type=share,
        default=PEAK_SIGMA,
        metavar="X",
        help="standard deviation of the Gaussian that smooths a heat map before its second peak is "
        "looked for, as a share of the image's sides; the first is the highest cell, as published "
        "(default: %(default).3g)",
    )
