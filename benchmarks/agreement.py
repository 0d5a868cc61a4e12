"""Do ours and the naive twin compute the same? ValueError if not."""

from collections.abc import Callable

import numpy as np


def cosine(at_least: float) -> Callable[..., None]:
    """Rows point in the same direction."""

    def agree(ours: np.ndarray, naive: np.ndarray, **others: object) -> None:
        lowest = (_unit(ours) * _unit(naive)).sum(axis=1).min()
        if not lowest >= at_least:
            raise ValueError(f"ours and naive differ: a cosine of {lowest:.6f} < {at_least}")

    return agree


def close(tolerance: float) -> Callable[..., None]:
    """No number differs by more than a tolerance."""

    def agree(ours: np.ndarray, naive: np.ndarray, **others: object) -> None:
        difference = np.abs(np.asarray(ours, np.float64) - np.asarray(naive, np.float64)).max()
        if not difference <= tolerance:
            raise ValueError(f"ours and naive differ by {difference:.3g} > {tolerance}")

    return agree


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
