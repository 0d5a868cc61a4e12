"""Rows that were computed: finite ones, and those that hold a NaN or an infinity."""

from collections.abc import Sequence

from torch import Tensor

from misc.runtime.failures import Failure


def apart_finite(
    rows: Tensor, places: Sequence[int], names: Sequence[str], what: str = "embedding is"
) -> tuple[list[int], list[Failure]]:
    """Part rows (B, …) that are finite from those that hold a NaN or an infinity.

    Args:
        rows: that were computed of B items.
        places: of these in all that was asked for.
        names: theirs.
        what: the rows are, for messages.

    Returns:
        The numbers of the finite rows, and failures of the others.
    """
    finite = rows.isfinite().flatten(1).all(dim=1).tolist()
    return [row for row, row_is_finite in enumerate(finite) if row_is_finite], [
        Failure(place, name, f"{name}: its {what} not finite")
        for place, name, row_is_finite in zip(places, names, finite, strict=True)
        if not row_is_finite
    ]
