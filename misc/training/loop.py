"""Train the model of a run: steps, epochs and what is frozen when."""

import logging
from collections.abc import Iterable, Sequence
from typing import NoReturn

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from misc.data.captioned_images import CaptionedImage
from misc.data.pairs import PairBatch, PairDataset, pair_loader
from misc.runtime.distributed import (
    broadcast_buffers,
    is_main,
    parallel,
    rank,
    world_size,
)
from misc.runtime.signals import StopRequest
from misc.training.feature_cache import CACHES, cached_features
from misc.training.losses import (
    CollapseMonitor,
    HardNegativeLoss,
    loss_of_epoch,
)
from misc.training.runs import Run
from misc.training.schedules import learning_rate
from misc.training.steps import set_trainable, train_step
from misc.training.validation import finish_epoch, validate

logger = logging.getLogger(__name__)


def readable(batches: Iterable[PairBatch], image_size: int, word_dim: int) -> Iterable[PairBatch]:
    """Report what could not be read, and pass the batches on, without pairs if need be.

    Args:
        batches: of ``misc.data.pairs.pair_loader``.
        image_size: side of the images in pixels.
        word_dim: W, the dimension of the word vectors.
    """
    for batch in batches:
        for failure in batch.failures:
            logger.warning("left out: %s", failure.reason)
        if not len(batch):
            batch.images = torch.empty(0, 3, image_size, image_size)
            batch.vectors = torch.empty(0, 1, word_dim)
            batch.lengths = batch.image_ids = torch.empty(0, dtype=torch.long)
        yield batch


def batches_left(run: Run, dataset: PairDataset) -> list[list[int]]:
    """Return this process's share of each batch that the current epoch still has."""
    size = run.config.batch_size
    batches = dataset.batches(size * world_size(), run.progress.drawn)
    if run.config.max_batches:
        batches = batches[: max(0, run.config.max_batches - run.progress.batch)]
    return [batch[rank() * size : (rank() + 1) * size] for batch in batches]


def train_epoch(
    run: Run,
    dataset: PairDataset,
    monitor: CollapseMonitor,
    stop: StopRequest,
    workers: int,
    print_frequency: int,
) -> bool:
    """Train on what is left of the current epoch, or until a signal; True if it is complete."""
    config, progress = run.config, run.progress
    device = next(run.model.parameters()).device
    dataset.epoch = progress.epoch
    batches, step_size = batches_left(run, dataset), config.batch_size * world_size()
    total = progress.drawn + step_size * len(batches)
    loader = pair_loader(dataset, batches, workers, device)
    loss_function = loss_of_epoch(config, progress.epoch)
    if not isinstance(loss_function, HardNegativeLoss):
        monitor = CollapseMonitor(0.0)
    set_trainable(run.model, config, progress.epoch)
    model = parallel(run.model)
    with _epoch_bar(run, total) as bar:
        for batch in readable(loader, config.crop_size, run.model.config.word_dim):
            run.set_rate(learning_rate(config, progress.epoch + progress.drawn / total))
            loss, pairs = train_step(run, model, batch.to(device), loss_function)
            progress.add(loss, pairs, step_size)
            bar.update(step_size)
            if progress.batch % print_frequency == 0:
                bar.set_postfix(loss=f"{loss / pairs:.3f}")
            if is_main():
                monitor.update(loss, pairs)
            run.save_if_due()
            if stop.agree():
                break
    broadcast_buffers(run.model)
    broadcast_buffers(run.measured)
    return progress.drawn == total


def _choose_features(run: Run, dataset: PairDataset, workers: int) -> None:
    """Have maps read from the cache while the trunk is frozen, if that is asked for."""
    if run.progress.epoch >= run.config.thaw_epoch:
        dataset.features = None
    elif run.config.cache_features and dataset.features is None:
        paths = [image.path for image in dataset.images]
        caches = run.folder.parent / CACHES
        cache = cached_features(run.model, paths, caches, workers)
        run.remember_features(cache.folder)
        dataset.features = cache


def _epoch_bar(run: Run, total: int) -> "tqdm[NoReturn]":
    return tqdm(
        total=total,
        initial=run.progress.drawn,
        unit="image",
        desc=f"epoch {run.progress.epoch}",
        disable=None if is_main() else True,
    )


def train_and_validate(
    run: Run,
    dataset: PairDataset,
    validation_images: Sequence[CaptionedImage],
    stop: StopRequest,
    workers: int,
    print_frequency: int,
    writer: SummaryWriter | None,
) -> None:
    """Train for all epochs that are left, each of which ends in a validation; or until a signal.

    Args:
        run: the run, which is saved.
        dataset: of training.
        validation_images: with their captions.
        stop: asked between two steps.
        workers: processes that read images.
        print_frequency: steps between two updates of the progress bar's loss.
        writer: for TensorBoard; ``None`` in all processes but the main one.
    """
    monitor = CollapseMonitor(run.config.margin, run.config.num_negatives)
    try:
        while run.progress.epoch < run.config.epochs and not stop.agree():
            with stop.at_once():
                _choose_features(run, dataset, workers)
            if not train_epoch(run, dataset, monitor, stop, workers, print_frequency):
                break
            with stop.at_once():
                metrics = validate(run, validation_images, dataset.word_vectors, workers, writer)
            finish_epoch(run, metrics, writer)
    except KeyboardInterrupt:
        if not stop.interrupted:
            raise
    if stop:
        run.save("last.pt")
