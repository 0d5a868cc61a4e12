"""Train the joint embedding of images and sentences.

Examples:
    python train.py --preset toy                          # minutes on a laptop, no download
    python train.py --data-root /data -n coco             # the paper's recipe, on COCO
    python train.py --preset photos --captions captions.csv --images photos  # your own, minutes
    python train.py -n coco --resume                      # go on where a run was stopped
    torchrun --nproc-per-node 8 train.py -n coco          # on eight GPUs, of 160 pairs each
    python train.py --preset toy --dataset coco --max-batches 5 --epochs 1      # a quick trial
"""

import argparse
import logging
import sys
from pathlib import Path

from misc.cli import run, write_json
from misc.cli.arguments import positive
from misc.cli.options import common_options, script_parser
from misc.cli.settings import add_settings
from misc.config import TrainConfig
from misc.presets import PRESETS
from models.config import ModelConfig

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line: presets, any setting of which can be overridden."""
    parser = script_parser(__doc__, common_options(precision=None))
    parser.usage = "%(prog)s [--preset NAME] [options]"
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="settings to start from: paper (the published recipe), toy, or photos (photographs "
        "and captions of your own, on a laptop) (default: paper); "
        "the options below override single settings, for which those of paper are given",
    )
    parser.add_argument("-n", "--name", help="name of the run; default: preset and data set")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        choices=("auto",),
        metavar="auto",
        help="continue the run of this name exactly where it stopped, with its own settings; "
        "starts it if there is none. Processes that torchrun starts again need not be told",
    )
    parser.add_argument(
        "--checkpoint-every", type=float, default=30.0, metavar="MINUTES",
        help="save within epochs too, so often (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-pf", "--print-frequency", "--print_frequency", type=positive, default=10,
        help="steps between two updates of the progress bar's loss (default: %(default)s)",
    )  # fmt: skip
    add_settings(parser, TrainConfig, ModelConfig)
    return parser


def main(args: argparse.Namespace) -> dict[str, float]:
    """Train, and return the metrics of the last validation and the best rsum."""
    from misc.data.paths import data_paths, find_word_vectors
    from misc.data.training_dataset import TrainingDataset
    from misc.data.transforms import training_transform
    from misc.runtime.device import select_device
    from misc.runtime.distributed import is_main, process_group
    from misc.runtime.signals import StopRequest
    from misc.training.event_log import event_log
    from misc.training.loop import train_and_validate
    from misc.training.photographs import training_images, validation_images
    from misc.training.runs import only_program_in, start_or_resume
    from misc.training.settings import choose_settings

    with process_group(select_device(args.device)) as device:
        folder, model_config, config, checkpoint = choose_settings(args)
        paths = data_paths(args.data_root, config.dataset, config.captions, config.images)
        images, held_out = training_images(paths), validation_images(paths)
        transform = training_transform(
            config.crop_size, config.crop_min_scale, config.flip, model_config.image_statistics
        )
        known = model_config.word_dim, checkpoint.word_table if checkpoint else "", device
        word_vectors = find_word_vectors(config.word_vectors, paths, "", *known)
        dataset = TrainingDataset(images, transform, word_vectors, config)
        training = start_or_resume(
            folder, model_config, config, checkpoint, device, 60 * args.checkpoint_every
        )
        what = "images" if config.images_per_batch else "pairs"
        logger.info("%s: %d %s, %d epochs", folder, len(dataset), what, config.epochs)
        with only_program_in(folder), StopRequest() as stop, event_log(training) as log:
            options = stop, args.workers, args.print_frequency, log
            train_and_validate(training, dataset, held_out, *options)
        if is_main() and not stop:
            write_json(training.results, args.json)
    if stop:
        logger.info("%s: saved %s; --resume goes on from there", stop.name, folder / "last.pt")
        sys.exit(stop.exit_status)
    return training.results


if __name__ == "__main__":
    run(main, get_parser())
