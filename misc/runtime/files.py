"""Files that are whole or not there, and disks that are full."""

import contextlib
import errno
import functools
import itertools
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

HOST = re.sub(r"\W", "", socket.gethostname())[:16]
TEMPORARY = re.compile(rf"\.dsve-{HOST}-(\d+)-\d+\.tmp")  # of this machine; process and number
NUMBERS = itertools.count()
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LITTLE = 16e6  # bytes that are free on a disk that counts as full
# How torch, numpy and FAISS say that they could not write.
OF_WRITING = ("PytorchStreamWriter", "unexpected pos", "requested and", "write error")


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to ``path`` once all went well.

    Whatever kills the process, ``path`` is either what it was before or the whole new file. A link
    stays one, and what is no regular file, such as a pipe or ``/dev/stdout``, is written straight.

    Args:
        path: the file.
        size: that it will have, in bytes, if that is known.

    Raises:
        OSError: if it cannot be written; the message says how much space there was.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    if size > (free := shutil.disk_usage(path.parent).free):
        raise OSError(f"{path} needs {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free")
    temporary = path.with_name(f".dsve-{HOST}-{os.getpid()}-{next(NUMBERS)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        if not _is_of_writing(error, path.parent):
            raise
        written = temporary.stat().st_size if temporary.exists() else 0
        free = shutil.disk_usage(path.parent).free
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise OSError(
            f"{path} cannot be written ({reason.splitlines()[0]}): {written / 1e6:.1f} MB of it "
            f"were, and {free / 1e6:.0f} MB are free"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _is_of_writing(error: OSError | RuntimeError, folder: Path) -> bool:
    """Tell whether it was the disk that failed, by what libraries say of it, if they say it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return any(words in str(error) for words in OF_WRITING) or (
        shutil.disk_usage(folder).free < LITTLE
    )


@functools.cache
def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine were writing into a folder when they were killed."""
    for file in folder.glob(".dsve-*.tmp"):
        match = TEMPORARY.fullmatch(file.name)
        if match and not _is_alive(int(match[1])):
            file.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


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
