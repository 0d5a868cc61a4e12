"""The learning rate over time."""

import math

from misc.config import TrainConfig


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
