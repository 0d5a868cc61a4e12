"""One step of training, and which parts of the model it trains."""

import math

from torch import nn

from misc.config import TrainConfig
from misc.data.training_batches import TrainingBatch
from misc.runtime.distributed import (
    gather_lists,
    gather_numbers,
)
from misc.training.gradients import add_gradients
from misc.training.runs import Run
from models.backbones import trunk_parts, trunk_stages
from models.joint_embedding import JointEmbedding


def set_trainable(model: JointEmbedding, config: TrainConfig, epoch: int) -> None:
    """Freeze and unfreeze the parts of the model as the epoch asks for; the affine always trains.

    Frozen batch norms keep their statistics unless ``config.batch_norm`` is "train".
    """
    encoder = model.image_encoder
    model.train()
    model.text_encoder.requires_grad_(epoch >= config.text_from)
    encoder.convolution.requires_grad_(epoch >= config.image_from)
    encoder.trunk.requires_grad_(False)  # what belongs to no stage never trains
    if encoder.frozen_parts is not None:
        for part in trunk_parts(encoder.trunk)[encoder.frozen_parts :]:
            part.requires_grad_(epoch >= config.thaw_epoch)
        encoder.trunk.train(config.batch_norm == "train")
        return
    for stage, module in trunk_stages(encoder.trunk):
        trains = epoch >= config.thaw_epoch and stage >= config.first_trained_stage
        module.requires_grad_(trains)
        module.train(trains or config.batch_norm == "train")


def train_step(
    run: Run, model: nn.Module, batch: TrainingBatch, loss_function: nn.Module
) -> tuple[float, int]:
    """Update the weights once, by the pairs of all processes.

    Args:
        run: the run whose step it is.
        model: its model, ready for ``misc.training.gradients.add_gradients``.
        batch: images and captions of this process.
        loss_function: a ``misc.training.losses.PairLoss`` or a ``LocationLoss``.

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
        image_ids = gather_lists(batch.image_ids.tolist())
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
