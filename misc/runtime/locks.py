"""Folders that one program at a time works in."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other programs out of a folder; the system opens the lock of one that was killed.

    Args:
        folder: made if need be.
        wait: True waits until it is free, and says so once.

    Raises:
        OSError: if another program works in it and ``wait`` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked_file(folder / LOCK, wait):
        yield


@contextlib.contextmanager
def locked_file(path: Path, wait: bool = False) -> Iterator[None]:
    """Do what ``locked`` does, by a file of any name; it stays, as it may be another's by now."""
    with path.open("w") as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not wait:
                    raise OSError(f"another program is at work in {path.parent}") from error
                logger.info("waiting for another program that works in %s", path.parent)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
