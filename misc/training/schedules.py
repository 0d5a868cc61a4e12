"""The learning rate and the loss over time."""

import math

from misc.config import TrainConfig
from misc.training.location_loss import LocationLoss
from misc.training.losses import ContrastiveLoss, HardNegativeLoss, PairLoss, SoftmaxLoss


def one_cycle(progress: float) -> float:
    """Share of the highest rate: up linearly over the first fifth, then down along a cosine."""
    if progress < 0.2:
        return 0.04 + 0.96 * progress / 0.2
    return 0.5 * (1 + math.cos(math.pi * min(progress - 0.2, 0.8) / 0.8))


def cosine(progress: float) -> float:
    """Share of the highest rate: down along a cosine from the start."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


CYCLES = {"one-cycle": one_cycle, "cosine": cosine}


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """Learning rate at an epoch; fractions count in cycles only."""
    if config.cycle_epochs:
        return config.learning_rate * CYCLES[config.cycle](epoch / config.cycle_epochs)
    decreases = max(0, min(int(epoch), config.last_decrease) - config.first_decrease + 1)
    return config.learning_rate * config.learning_rate_decrease**decreases


def loss_of_epoch(config: TrainConfig, epoch: int) -> PairLoss | LocationLoss:
    """Return the loss that an epoch is trained on."""
    warm = epoch < config.warmup_epochs
    loss: PairLoss = HardNegativeLoss(config.margin, config.num_negatives)
    if warm:
        together = config.images_per_batch > 0 and config.softmax_positives == "joint"
        loss = _warmup_loss(config, together)
    if not config.location_weight:
        return loss
    of_phrases = _warmup_loss(config, joint=False) if warm else None
    return LocationLoss(loss, of_phrases, config.location_weight)


def _warmup_loss(config: TrainConfig, joint: bool) -> PairLoss:
    if config.warmup_loss == "all":
        return ContrastiveLoss(config.margin)
    return SoftmaxLoss(config.softmax_scale, joint)
