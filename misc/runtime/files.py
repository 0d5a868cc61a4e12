"""Files that are whole or not there, and disks that are full."""

import contextlib
import errno
import functools
import itertools
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HOST = re.sub(r"\W", "", socket.gethostname())[:16]
TEMPORARY = re.compile(rf"\.dsve-{HOST}-(\d+)-\d+\.tmp")  # of this machine; process and number
NUMBERS = itertools.count()
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOST_LINKS = 40  # that lead to a file, as Linux has it
LITTLE = 16e6  # bytes that are free on a disk that counts as full
# How torch, numpy, FAISS and safetensors say that they could not write.
OF_WRITING = (
    "PytorchStreamWriter", "unexpected pos", "requested and", "write error", "I/O error",
)  # fmt: skip


class FullDiskError(OSError):
    """A disk has no space for a file: that concerns all of a run, not one of its items."""


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to ``path`` once all went well.

    Whatever kills the process, ``path`` is either what it was before or the whole new file. A link
    stays one. A pipe or device is written straight, and so is an open file of this process, such as
    ``/dev/stdout``: what was written to it stays, even if it leads to a regular file.

    Args:
        path: the file.
        size: that it will have, in bytes, if that is known.

    Raises:
        FullDiskError: if there is no space for it; the message says how much there was.
    """
    number = _descriptor(path)
    if number is not None:
        with _temporary(path, Path(tempfile.gettempdir()), size) as temporary:
            yield temporary
            _append(temporary, number)
        return
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    with _temporary(path, path.parent, size) as temporary:
        yield temporary
        temporary.replace(path)


def _descriptor(path: Path) -> int | None:
    """Find the number of the open file that a path names: ``/dev/fd/1``, or a link to it."""
    for _ in range(MOST_LINKS):
        folder = str(path.parent.resolve())
        if folder in (f"/proc/{os.getpid()}/fd", "/dev/fd") and path.exists():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _append(file: Path, number: int) -> None:
    """Write a file's bytes to an open file, after all that is printed before."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with file.open("rb") as source, os.fdopen(os.dup(number), "wb") as opened:
        shutil.copyfileobj(source, opened)


@contextlib.contextmanager
def replacing_files(folder: Path, size: int = 0) -> Iterator[Path]:
    """Give a temporary folder, whose files are moved into ``folder`` once all of them are whole.

    Args:
        folder: made if need be; its other files stay.
        size: of the files together, in bytes, if that is known.

    Raises:
        FullDiskError: if there is no space for them; what was there before stays whole.
    """
    with _temporary(folder, folder, size) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            file.replace((folder / file.name).resolve())  # a link stays one


@contextlib.contextmanager
def _temporary(target: Path, folder: Path, size: int) -> Iterator[Path]:
    """Give a path in a folder, of which nothing is left in the end; tell a full disk."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    check_space(target, folder, size)
    temporary = folder / f".dsve-{HOST}-{os.getpid()}-{next(NUMBERS)}.tmp"
    try:
        yield temporary
    except FullDiskError:  # of another file, told already
        raise
    except (OSError, RuntimeError) as error:
        if not _is_of_writing(error, folder):
            raise
        written, free = _size(temporary), shutil.disk_usage(folder).free
        reason = (error.strerror if isinstance(error, OSError) else None) or repr(error)
        raise FullDiskError(
            f"{target} cannot be written ({reason}): {written / 1e6:.1f} MB of it "
            f"were, and {free / 1e6:.0f} MB are free"
        ) from error
    finally:
        _remove(temporary)


def check_space(target: Path, folder: Path, size: int) -> None:
    """Make sure, before any work, that a folder has space for so many bytes.

    Raises:
        FullDiskError: if it has not; the message names ``target``.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise FullDiskError(f"{target} needs {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free")


def _size(path: Path) -> int:
    """Add up the bytes of a file, or of a folder's files; 0 if there is none."""
    files = path.iterdir() if path.is_dir() else [path] if path.exists() else []
    return sum(file.stat().st_size for file in files)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
            _remove(file)


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
        size: in bytes; that of the file as it is, with its header, if that is more.

    Raises:
        FullDiskError: if the disk has less space; the message says how much.
    """
    free = shutil.disk_usage(path.parent).free
    size = max(size, path.stat().st_size)
    try:
        if size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink()
        raise FullDiskError(
            f"{path} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: {error.strerror}"
        ) from error
