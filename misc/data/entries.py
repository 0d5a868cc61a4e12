"""Entries of files that others made: each is used, or named and counted."""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from misc.runtime.failures import Failure, read_item, tell

UNDECODED = re.compile("[\udc80-\udcff]")  # what ``surrogateescape`` makes of bytes

Entry = TypeVar("Entry")
Item = TypeVar("Item")


def read_entries(
    entries: Iterable[Entry],
    what: str,
    read: Callable[[Entry], Item],
    failures: list[Failure],
    label: Callable[[Entry], object] | None = None,
) -> Iterator[Item]:
    """Read entry by entry; what cannot be read goes to ``failures``, and the rest goes on.

    Args:
        entries: as the file has them.
        what: the file and the kind of its entries, for messages; "" if the label says it all.
        read: reads one, and raises whatever it likes if that cannot be done.
        failures: gets those that cannot be read.
        label: tells an entry from the others in messages; without one, its place does.
    """
    for index, entry in enumerate(entries):
        item = read_item(index, "", functools.partial(read, entry))
        if isinstance(item, Failure):  # named only now: millions are read, and few fail
            name = f"{what} {label(entry) if label else index}".strip()
            failures.append(Failure(index, name, f"{name}: {item.reason}"))
        else:
            yield item


def decoded(text: str, encoding: str = "UTF-8") -> str:
    """Give back a text of a file that was read with ``surrogateescape``.

    Raises:
        ValueError: if some of its bytes are not in the encoding.
    """
    if UNDECODED.search(text):
        raise ValueError(f"it has bytes that are not in {encoding}")
    return text


def leave_out(
    failures: list[Failure], left_out: list[Failure] | None, logger: logging.Logger
) -> None:
    """Warn of what a reader leaves out, and add it to ``left_out`` if its caller counts that."""
    tell(failures, logger)
    if left_out is not None:
        left_out += failures


def read_id(value: str | float) -> int:
    """Read an id, which may be written as a text.

    Raises:
        ValueError: if it is none that a tensor holds.
    """
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number!r:.30} is no id")
    return number
