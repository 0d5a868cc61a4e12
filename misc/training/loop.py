"""Train the model of a run: steps, epochs and what is frozen when."""

import contextlib
import logging
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from misc.config import TrainConfig
from misc.data.captions import CaptionedImage
from misc.data.pairs import PairBatch, PairDataset, pair_loader
from misc.evaluation.retrieval import retrieval_metrics
from misc.inference.acceleration import accelerate
from misc.inference.encode import encode_pairs
from misc.runtime.device import StopRequest
from misc.runtime.distributed import (
    broadcast_buffers,
    gather_numbers,
    gather_objects,
    is_main,
    parallel,
    rank,
    world_size,
)
from misc.training.feature_cache import cached_features
from misc.training.gradients import add_gradients
from misc.training.losses import (
    CollapseMonitor,
    ContrastiveLoss,
    HardNegativeLoss,
    PairLoss,
    SoftmaxLoss,
)
from misc.training.progress_pictures import heat_map_panel
from misc.training.runs import Progress, Run
from misc.words.word_vectors import WordVectors
from models.backbones import trunk_stages
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


def set_trainable(model: JointEmbedding, config: TrainConfig, epoch: int) -> None:
    """Freeze and unfreeze the parts of the model as the epoch asks for; the affine always trains.

    Frozen batch norms keep their statistics unless ``config.batch_norm`` is "train".
    """
    encoder = model.image_encoder
    model.train()
    model.text_encoder.requires_grad_(epoch >= config.text_from)
    encoder.convolution.requires_grad_(epoch >= config.image_from)
    encoder.trunk.requires_grad_(False)  # what belongs to no stage never trains
    for stage, module in trunk_stages(encoder.trunk):
        trains = epoch >= config.thaw_epoch and stage >= config.first_trained_stage
        module.requires_grad_(trains)
        module.train(trains or config.batch_norm == "train")


def train_step(
    run: Run, model: nn.Module, batch: PairBatch, loss_function: nn.Module
) -> tuple[float, int]:
    """Update the weights once, by the pairs of all processes.

    Args:
        run: the run whose step it is.
        model: its model, ready for ``misc.training.gradients.add_gradients``.
        batch: pairs of this process.
        loss_function: a ``misc.training.losses.PairLoss``.

    Returns:
        The loss, summed over the pairs of all processes, and how many those are.

    Raises:
        FloatingPointError: if the loss is not finite; the weights are left as they were.
        ValueError: if there are no pairs at all, which is no accident; nor are they changed then.
    """
    progress, config = run.progress, run.config
    run.optimizer.zero_grad()
    seeds = config.seed, progress.epoch, progress.batch
    share = add_gradients(model, batch, loss_function, seeds, config.precision, config.chunk_size)
    # Waits for the device once a step: a run of days is worth the check.
    loss, pairs = gather_numbers(float(share), len(batch)).sum(dim=0).tolist()
    if not math.isfinite(loss):
        image_ids = sum(gather_objects(batch.image_ids.tolist()), [])
        raise FloatingPointError(
            f"the loss is {loss} in epoch {progress.epoch}, batch {progress.batch}, with the "
            f"images {image_ids}; the last checkpoint in {run.folder} is from before it. A lower "
            "--learning-rate or --precision float32 may help"
        )
    if not pairs:
        raise ValueError(f"no image of a batch can be read: {batch.failures[0].reason}")
    if config.clip_norm:
        nn.utils.clip_grad_norm_(run.model.parameters(), config.clip_norm)
    run.optimizer.step()
    if run.average is not None:
        run.average.update_parameters(run.model)
    return loss, int(pairs)


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


def loss_of_epoch(config: TrainConfig, epoch: int) -> PairLoss:
    """Return the loss that an epoch is trained on."""
    if epoch >= config.warmup_epochs:
        return HardNegativeLoss(config.margin, config.num_negatives)
    if config.warmup_loss == "all":
        return ContrastiveLoss(config.margin)
    return SoftmaxLoss(config.softmax_scale, joint=config.captions_per_image > 1)


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
            run.set_rate(config.rate(progress.epoch + progress.drawn / total))
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


def event_log(run: Run) -> contextlib.AbstractContextManager[SummaryWriter | None]:
    """Open the run's log for TensorBoard; ``None`` in all processes but the main one."""
    if not is_main():
        return contextlib.nullcontext()
    return SummaryWriter(str(run.folder), purge_step=run.progress.epoch)


def validate(
    run: Run,
    images: Sequence[CaptionedImage],
    word_vectors: WordVectors,
    workers: int,
    writer: SummaryWriter | None,
) -> None:
    """Measure retrieval on the validation images, which ends the epoch: log and save it.

    Args:
        run: the run whose epoch it is.
        images: of the validation split, with their captions.
        word_vectors: those of training.
        workers: processes that read images.
        writer: for TensorBoard; ``None`` in all processes but the main one.
    """
    model = accelerate(run.measured, run.config.precision)
    size, batch_size = run.config.image_size, run.config.batch_size
    embeddings = encode_pairs(model, images, word_vectors, size, batch_size, workers=workers)
    if writer is not None:
        picture = heat_map_panel(model, images, word_vectors, size)
        if picture is not None:
            pixels = np.asarray(picture)
            writer.add_image("heat maps", pixels, run.progress.epoch, dataformats="HWC")
    finish_epoch(run, retrieval_metrics(*embeddings), writer)


def finish_epoch(run: Run, metrics: dict[str, float], writer: SummaryWriter | None) -> None:
    """Log the epoch that ended and save it, as the best one too if it is.

    Args:
        run: the run whose epoch it is.
        metrics: of its validation.
        writer: for TensorBoard; ``None`` in all processes but the main one.
    """
    progress = run.progress
    record = {
        "epoch": progress.epoch,
        "loss": progress.loss / progress.pairs,
        "learning_rate": run.optimizer.param_groups[1]["lr"],
        **metrics,
    }
    if writer is not None:
        for key, value in record.items():
            writer.add_scalar(key, value, progress.epoch)
        writer.flush()
        run.log_epoch(record)
    best = metrics["rsum"] > progress.best_rsum
    run.progress = Progress(
        epoch=progress.epoch + 1,
        best_rsum=max(metrics["rsum"], progress.best_rsum),
        metrics=metrics,
    )
    if best:  # before last.pt: a run killed between the two does the epoch again
        run.save("best.pt")
    run.save("last.pt")
    logger.info(
        "epoch %d: loss %.3f, R@1 caption -> image %.1f, image -> caption %.1f, rsum %.1f%s",
        record["epoch"],
        record["loss"],
        metrics["t2i/R@1"],
        metrics["i2t/R@1"],
        metrics["rsum"],
        " (best)" if best else "",
    )
