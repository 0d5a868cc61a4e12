"""How pictures say whether a phrase is there."""

import math

from misc.evaluation.presence import ABSENT

FAINT = 0.35  # of the opacity, for the heat of what is probably not there


def titled(phrase: str, percent: float) -> str:
    """Add to a phrase how many percent of other images fit it less; nothing if that is NaN."""
    if math.isnan(percent):
        return phrase
    return f"{phrase} · {percent:.0f} %{', probably not there' if percent < ABSENT else ''}"


def strength(percent: float) -> float:
    """Give the share of its opacity that a heat map is drawn with: all, also where it is NaN."""
    return FAINT if percent < ABSENT else 1.0
