"""Train the model of a run: steps, epochs and what is frozen when."""

import logging
from collections.abc import Iterable

import torch
from tqdm import tqdm

from misc.data.pairs import PairBatch, PairDataset, pair_loader
from misc.runtime.distributed import (
    broadcast_buffers,
    is_main,
    parallel,
    rank,
    world_size,
)
from misc.runtime.signals import StopRequest
from misc.training.feature_cache import cached_features
from misc.training.losses import (
    CollapseMonitor,
    HardNegativeLoss,
)
from misc.training.runs import Run
from misc.training.schedules import learning_rate
from misc.training.steps import loss_of_epoch, set_trainable, train_step

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
    """Train on what is left of the current epoch, or until a signal asks to stop.

    Returns:
        True if the epoch is complete.
    """
    config, progress = run.config, run.progress
    device = next(run.model.parameters()).device
    dataset.epoch = progress.epoch
    if progress.epoch >= config.thaw_epoch:
        dataset.features = None
    elif config.cache_features and dataset.features is None:
        paths = [image.path for image in dataset.images]
        caches = run.folder.parent / "features"
        dataset.features = cached_features(run.model, paths, caches, workers)
    batches = batches_left(run, dataset)
    step_size = config.batch_size * world_size()
    total = progress.drawn + step_size * len(batches)
    loader = pair_loader(dataset, batches, workers)
    loss_function = loss_of_epoch(config, progress.epoch)
    if not isinstance(loss_function, HardNegativeLoss):
        monitor = CollapseMonitor(0.0)
    set_trainable(run.model, config, progress.epoch)
    model = parallel(run.model)
    bar = tqdm(
        total=total,
        initial=progress.drawn,
        unit="image",
        desc=f"epoch {progress.epoch}",
        disable=None if is_main() else True,
    )
    with bar:
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
