"""An epoch on batches of images with their captions, and one on pairs of the same captions.

    python -m benchmarks.images_and_pairs
    python -m benchmarks.images_and_pairs --quick

CPU seconds of all threads, reading included, of two presets that have the maps of what never trains
in a cache.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.sides import interleave
from benchmarks.table import Row, get_parser, report
from misc.cli import run

CAPTIONS = 5  # of each image
LEAST = 3  # times less CPU


def toy_images(folder: Path, count: int) -> Sequence[Any]:
    """Draw toy scenes, and caption them."""
    from misc.data.captions import read_captions
    from misc.data.paths import data_paths
    from misc.toy.dataset import SceneCounts, ensure_toy

    ensure_toy(folder, counts=SceneCounts(train=count, val=0, test=0))
    return read_captions(data_paths(folder, "toy"), ("train",))


def photographs(folder: Path, count: int) -> Sequence[Any]:
    """Caption images that are never read."""
    from misc.data.captioned_images import CaptionedImage

    texts = inputs.captions(CAPTIONS * count)
    groups = [tuple(texts[n : n + CAPTIONS]) for n in range(0, len(texts), CAPTIONS)]
    return [CaptionedImage(n, folder / "absent.jpg", group) for n, group in enumerate(groups)]


def cache(folder: Path, model: Any, count: int) -> Any:
    """Make a cache of the maps of so many images."""
    import numpy as np
    import torch

    from misc.training.feature_cache import FAILURES, MAPS, FeatureCache, frozen_part

    side = model.config.input_size
    with torch.inference_mode():
        shape = count, 1, *frozen_part(model)(torch.zeros(1, 3, side, side)).shape[1:]
    generator = np.random.default_rng(0)
    np.save(folder / MAPS, generator.random(shape, np.float32).astype(np.float16))
    (folder / FAILURES).write_text("{}")
    return FeatureCache(folder)


def epoch(preset: str, folder: Path, images: Sequence[Any], batch: int, together: bool) -> Any:
    """Prepare an epoch of the preset on batches of so many images, or of so many pairs."""
    import torch

    from misc.data.training_dataset import TrainingDataset, load_batches
    from misc.data.transforms import training_transform
    from misc.inference.folded_norms import folding_norms
    from misc.presets import PRESETS
    from misc.training.losses import HardNegativeLoss
    from misc.training.runs import Progress, Run, mark_frozen_parts, new_optimizer
    from misc.training.steps import set_trainable, train_step
    from models.joint_embedding import JointEmbedding

    torch.manual_seed(0)
    settings, config = PRESETS[preset]
    config = dataclasses.replace(
        config,
        batch_size=batch,
        images_per_batch=batch * together,
        captions_per_image=0,
        location_phrases=0,
    )
    model = JointEmbedding(settings).to(memory_format=torch.channels_last)
    mark_frozen_parts(model, config)
    set_trainable(model, config, config.epochs - 1)
    seen = config.crop_size, config.crop_min_scale, config.flip, settings.image_statistics
    texts = [text for image in images for text in image.captions]
    words = inputs.word_vectors(texts, settings.word_dim)
    dataset = TrainingDataset(images, training_transform(*seen), words, config)
    if config.cache_features:
        dataset.features = cache(folder, model, len(images))
    state = Run(folder, config, model, new_optimizer(model, config), Progress())

    def work() -> int:
        batches = load_batches(dataset, dataset.batches(batch), 0, torch.device("cpu"))
        with folding_norms(model.image_encoder.trunk):
            return sum(train_step(state, model, part, HardNegativeLoss())[1] for part in batches)

    return work


def cpu_seconds(work: Callable[[], int], pairs: int) -> float:
    """Time an epoch, which is to train on so many pairs."""
    start = time.process_time()
    trained = work()
    if trained != pairs:
        raise ValueError(f"an epoch trained on {trained} pairs instead of {pairs}")
    return time.process_time() - start


def measure(preset: str, images: Sequence[Any], folder: Path, batch: int, rounds: int) -> Row:
    questions = {
        name: partial(
            cpu_seconds,
            epoch(preset, folder, images, batch, name == "ours"),
            len(images) * CAPTIONS,
        )
        for name in ("ours", "naive")
    }
    interleave(questions, 1)  # kernels are made at their first use
    seconds = interleave(questions, rounds)
    work = f"{len(images) * CAPTIONS:,} pairs, preset {preset}, batches of {batch} images / pairs"
    return Row(work, "CPU s", seconds["ours"], seconds["naive"], min_ratio=LEAST)


def main(args: argparse.Namespace) -> None:
    from misc.runtime.device import use_fast_products

    use_fast_products()
    toy, photos, rounds = (4, 4, 1) if args.quick else (64, 128, 3)
    with inputs.folder() as folder:
        rows = [
            measure("toy", toy_images(folder, 2 * toy), folder, toy, rounds),
            measure("photos", photographs(folder, 2 * photos), folder, photos, rounds),
        ]
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
