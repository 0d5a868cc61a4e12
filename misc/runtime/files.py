"""Files that are whole or not there."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to ``path`` once all went well.

    Whatever kills the process, ``path`` is either what it was before or the whole new file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def reserve(path: Path, size: int) -> None:
    """Give a file all the space that it will need, so that a full disk is told before the work.

    Writing to a memory map of a file without its space would end the process with SIGBUS.

    Args:
        path: of a file that is there; it is removed if there is no space for it.
        size: in bytes.

    Raises:
        OSError: if the disk has less space; the message says how much.
    """
    free = shutil.disk_usage(path.parent).free
    try:
        if size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink()
        raise OSError(
            f"{path} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: {error.strerror}"
        ) from error
