"""Train the model of a run: steps, epochs and what is frozen when."""

import logging
import math
from collections.abc import Iterable

from torch import nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from misc.config import TrainConfig
from misc.dataset import PairBatch, PairDataset, pair_loader
from misc.loss import CollapseMonitor, HardNegativeLoss, SoftmaxLoss
from misc.runs import Progress, Run
from misc.runtime import StopRequest, autocast, seed_generators
from models.image_encoder import STEM_MODULES
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


def set_trainable(model: JointEmbedding, config: TrainConfig, epoch: int) -> None:
    """Freeze and unfreeze the parts of the model as the epoch asks for; the affine always trains.

    Frozen batch norms keep their statistics unless ``config.batch_norm`` is "train".
    """
    encoder, image_trains = model.image_encoder, epoch >= config.image_from
    model.train()
    model.text_encoder.requires_grad_(epoch >= config.text_from)
    encoder.convolution.requires_grad_(image_trains)
    for index, module in enumerate(encoder.trunk):
        stage = max(0, index - STEM_MODULES + 1)
        trains = image_trains and stage >= config.first_trained_stage
        module.requires_grad_(trains)
        module.train(trains or config.batch_norm == "train")


def train_step(run: Run, batch: PairBatch, loss_function: nn.Module) -> float:
    """Update the weights once and return the batch's summed loss.

    Raises:
        FloatingPointError: if the loss is not finite; the weights are left as they were.
    """
    progress, config = run.progress, run.config
    device = batch.images.device
    seed_generators(device, config.seed, progress.epoch, progress.batch)  # of dropout
    with autocast(device, config.precision):
        images, captions = run.model(batch.images, batch.vectors, batch.lengths)
    loss = loss_function(images.float(), captions.float(), batch.image_ids)
    value = float(
        loss.detach()
    )  # waits for the device once a step: a run of days is worth the check
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} in epoch {progress.epoch}, batch {progress.batch}, with the "
            f"images {batch.image_ids.tolist()}; the last checkpoint in {run.folder} is from "
            "before it. A lower --learning-rate or --precision float32 may help"
        )
    run.optimizer.zero_grad()
    loss.backward()
    run.optimizer.step()
    return value


def readable(batches: Iterable[PairBatch]) -> Iterable[PairBatch]:
    """Report what could not be read, and pass the batches on.

    Raises:
        ValueError: if nothing of a batch can be read, which is no accident.
    """
    for batch in batches:
        for failure in batch.failures:
            logger.warning("left out: %s", failure.reason)
        if not len(batch.image_ids):
            raise ValueError(f"no image of a batch can be read: {batch.failures[0].reason}")
        yield batch


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
    batches = dataset.batches(config.batch_size)[: config.max_batches or None]
    loader = pair_loader(dataset, batches[progress.batch :], workers)
    loss_function: nn.Module = HardNegativeLoss(config.margin, config.num_negatives)
    if progress.epoch < config.warmup_epochs:
        loss_function, monitor = SoftmaxLoss(config.softmax_scale), CollapseMonitor(0.0)
    set_trainable(run.model, config, progress.epoch)
    bar = tqdm(
        total=len(batches) * config.batch_size,
        initial=progress.batch * config.batch_size,
        unit="image",
        desc=f"epoch {progress.epoch}",
        disable=None,
    )
    with bar:
        for batch in readable(loader):
            run.set_rate(config.rate(progress.epoch + progress.batch / len(batches)))
            loss, pairs = train_step(run, batch.to(device), loss_function), len(batch.image_ids)
            progress.batch += 1
            progress.loss += loss
            progress.pairs += pairs
            bar.update(config.batch_size)
            if progress.batch % print_frequency == 0:
                bar.set_postfix(loss=f"{loss / pairs:.3f}")
            monitor.update(loss, pairs)
            if stop:
                break
    return progress.batch == len(batches)


def finish_epoch(run: Run, metrics: dict[str, float], writer: SummaryWriter) -> None:
    """Log the epoch that ended and save it, as the best one too if it is."""
    progress = run.progress
    record = {
        "epoch": progress.epoch,
        "loss": progress.loss / progress.pairs,
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        **metrics,
    }
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
