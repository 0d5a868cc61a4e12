"""Train the model of a run: steps, epochs and what is frozen when."""

import logging
from collections.abc import Iterable, Sequence
from typing import NoReturn

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from misc.data.caption_phrases import CaptionPhrases, NamedThings
from misc.data.captioned_images import CaptionedImage
from misc.data.training_batches import TrainingBatch
from misc.data.training_dataset import TrainingDataset, load_batches
from misc.data.transforms import Views
from misc.inference.folded_norms import folding_norms
from misc.runtime.distributed import (
    broadcast_buffers,
    is_main,
    parallel,
    rank,
    world_size,
)
from misc.runtime.signals import StopRequest
from misc.training.collapse import CollapseMonitor
from misc.training.feature_cache import CACHES, FeatureCache, cached_features
from misc.training.runs import Run
from misc.training.schedules import learning_rate, loss_of_epoch
from misc.training.steps import set_trainable, train_step
from misc.training.text_cache import cached_texts
from misc.training.validation import finish_epoch, keep_reference, validate
from misc.words.pretrained_encoder import PretrainedEncoder

logger = logging.getLogger(__name__)


def readable(
    batches: Iterable[TrainingBatch],
    image_size: int,
    word_dim: int,
    phrases: CaptionPhrases | None = None,
) -> Iterable[TrainingBatch]:
    """Report what could not be read, and pass the batches on, without pairs if need be.

    Args:
        batches: of ``misc.data.training_dataset.load_batches``.
        image_size: side of the images in pixels.
        word_dim: W, the dimension of the word vectors.
        phrases: those that batches have, if any.
    """
    for batch in batches:
        for failure in batch.failures:
            logger.warning("left out: %s", failure.reason)
        if not len(batch):
            batch.images = torch.empty(0, 3, image_size, image_size)
            batch.vectors = torch.empty(0, 1, word_dim)
            batch.lengths = batch.image_ids = batch.owners = torch.empty(0, dtype=torch.long)
            if phrases is not None:
                nothing = torch.empty(0, phrases.number_of_heads, dtype=torch.bool)
                batch.things = NamedThings(batch.owners, nothing)
        yield batch


def batches_left(run: Run, dataset: TrainingDataset) -> list[list[int]]:
    """Return this process's share of each batch that the current epoch still has."""
    size = run.config.items_per_batch
    batches = dataset.batches(size * world_size(), run.progress.drawn)
    if run.config.max_batches:
        batches = batches[: max(0, run.config.max_batches - run.progress.batch)]
    return [batch[rank() * size : (rank() + 1) * size] for batch in batches]


def train_epoch(
    run: Run,
    dataset: TrainingDataset,
    monitor: CollapseMonitor,
    stop: StopRequest,
    workers: int,
    print_frequency: int,
) -> bool:
    """Train on what is left of the current epoch, or until a signal; True if it is complete."""
    config, progress = run.config, run.progress
    device = next(run.model.parameters()).device
    dataset.epoch = progress.epoch
    batches, step_size = batches_left(run, dataset), config.items_per_batch * world_size()
    total = progress.drawn + step_size * len(batches)
    loader = load_batches(dataset, batches, workers, device)
    loss_function = loss_of_epoch(config, progress.epoch)
    if progress.epoch < config.warmup_epochs:
        monitor = CollapseMonitor(0.0)
    set_trainable(run.model, config, progress.epoch)
    model = parallel(run.model)
    with _epoch_bar(run, total) as bar, folding_norms(run.model.image_encoder.trunk):
        word_dim = run.model.config.word_dim
        for batch in readable(loader, config.crop_size, word_dim, dataset.phrases):
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


def _prepare_texts(
    run: Run,
    dataset: TrainingDataset,
    validation_images: Sequence[CaptionedImage],
    stop: StopRequest,
) -> None:
    """Have a text encoder read all captions once, and note what checkpoints say of it."""
    source, images = dataset.word_vectors, (*dataset.images, *validation_images)
    run.word_table = source.fingerprint()
    if isinstance(source, PretrainedEncoder):
        captions = [caption for image in images for caption in image.captions]
        if dataset.phrases is not None:
            captions += [phrase for phrases in dataset.phrases.texts for phrase in phrases]
        with stop.at_once():
            cache = cached_texts(source, captions, run.folder.parent / CACHES)
        run.remember_caches(cache.folder)
        dataset.word_vectors = cache


def _maps(
    run: Run,
    dataset: TrainingDataset,
    validation_images: Sequence[CaptionedImage],
    workers: int,
    stop: StopRequest,
) -> tuple[FeatureCache, FeatureCache | None]:
    """Open the maps of the images, and of those of validation if they are seen at the same size."""
    config, caches, validated = run.config, run.folder.parent / CACHES, None
    paths, precision = [image.path for image in dataset.images], run.config.precision
    views = Views(config.cached_crops, config.crop_min_scale, config.flip)
    with stop.at_once():
        trained = cached_features(run.model, paths, caches, workers, precision, views)
        if config.image_size == run.model.config.input_size:
            paths = [image.path for image in validation_images]
            validated = cached_features(run.model, paths, caches, workers, precision)
    run.remember_caches(*(cache.folder for cache in (trained, validated) if cache))
    return trained, validated


def _epoch_bar(run: Run, total: int) -> "tqdm[NoReturn]":
    return tqdm(
        total=total,
        initial=run.progress.drawn,
        unit="image",
        desc=f"epoch {run.progress.epoch}",
        disable=None if is_main() else True,
    )


def _measure(
    run: Run,
    dataset: TrainingDataset,
    images: Sequence[CaptionedImage],
    workers: int,
    writer: SummaryWriter | None,
    validated: FeatureCache | None,
) -> dict[str, float]:
    """Validate on images, whose maps there may be, and keep pairs of training for reference."""
    keep_reference(run, dataset, workers, dataset.features if validated else None)
    return validate(run, images, dataset.word_vectors, workers, writer, validated)


def train_and_validate(
    run: Run,
    dataset: TrainingDataset,
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
    config, validated = run.config, None
    monitor = CollapseMonitor(config.margin * (1 + config.location_weight), config.num_negatives)
    try:
        _prepare_texts(run, dataset, validation_images, stop)
        while run.progress.epoch < config.epochs and not stop.agree():
            if run.progress.epoch >= config.thaw_epoch and not config.trained_parts:
                dataset.features = validated = None
            elif config.cache_features and not config.max_batches and dataset.features is None:
                dataset.features, validated = _maps(run, dataset, validation_images, workers, stop)
            if not train_epoch(run, dataset, monitor, stop, workers, print_frequency):
                break
            with stop.at_once():
                shown = validation_images, workers, writer, validated
                metrics = _measure(run, dataset, *shown)
            finish_epoch(run, metrics, writer)
    except KeyboardInterrupt:
        if not stop.interrupted:
            raise
    if stop:
        run.save("last.pt")
