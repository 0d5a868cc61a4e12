"""Items that could not be used: items in are items used and items named."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from misc.runtime.files import FullDiskError

SHOWN = 20  # failures that are told one by one

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Failure:
    """An item that could not be used, by its place in all that was asked for."""

    index: int
    name: str
    reason: str


def read_item(index: int, name: str, read: Callable[[], Item]) -> Item | Failure:
    """Read one of many items that others made; whatever it raises becomes a ``Failure``.

    The one place that catches everything: decoders raise ``struct.error``, ``RuntimeError``,
    ``KeyError`` and more.

    Args:
        index: place of the item in all that was asked for.
        name: of the item, for messages.
        read: reads it.

    Raises:
        FullDiskError: as it is; the next item would find no space either.
    """
    try:
        return read()
    except FullDiskError:
        raise
    except Exception as error:
        reason = reason_of(error)
        return Failure(index, name, reason if name in reason else f"{name}: {reason}")


def reason_of(error: Exception) -> str:
    """Say what is wrong; of a key, whose error is the bare key, that it is not there."""
    if type(error) is KeyError and error.args:
        return f"there is no {error}"
    return str(error) or type(error).__name__


def apart(items: Iterable[Item | Failure]) -> tuple[list[Item], list[Failure]]:
    """Part items that could be used from those that could not, each in their order."""
    used: list[Item] = []
    failures: list[Failure] = []
    for item in items:
        if isinstance(item, Failure):
            failures.append(item)
        else:
            used.append(item)
    return used, failures


def tell(failures: Sequence[Failure], logger: logging.Logger) -> None:
    """Warn of what is left out, with reasons: the first ``SHOWN``, and how many more there are."""
    for failure in failures[:SHOWN]:
        logger.warning("left out: %s", failure.reason)
    if len(failures) > SHOWN:
        logger.warning("left out: %d more like these", len(failures) - SHOWN)
