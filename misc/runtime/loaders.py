"""Loaders of data: worker processes that neither hang nor run out of shared memory."""

import atexit
import functools
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

SHARED_MEMORY = "/dev/shm"  # where worker processes put what they have read, on Linux
AHEAD = 3  # batches of a worker that may be there at once: two it prefetches, one is in use

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Read = TypeVar("Read")


def loader(
    dataset: Dataset[Any],
    workers: int,
    device: torch.device,
    collate: Callable[[list[Any]], Any],
    batch_bytes: int,
    **batches: Any,  # noqa: ANN401
) -> DataLoader[Any]:
    """Load batches, by worker processes for which there is shared memory.

    Whatever ends this process ends its workers, even if one has raised an exception or hangs.

    Args:
        dataset: what is loaded.
        workers: processes that read; 0 reads in this one.
        device: where batches go; for CUDA they are pinned.
        collate: makes a batch of items.
        batch_bytes: size of a batch, about.
        batches: ``batch_size`` or ``batch_sampler`` of ``DataLoader``.
    """
    workers = workers_that_fit(workers, batch_bytes)
    if workers:
        _end_workers_at_exit()
    return DataLoader(
        dataset,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=ignore_signals,
        pin_memory=device.type == "cuda",
        **batches,
    )


def read_ahead(
    read: Callable[[Asked], Read], asked: Iterable[Asked], threads: int = 1, ahead: int = 1
) -> Iterator[Read]:
    """Read things by threads, the next while one is in use, in order; what it raises is raised.

    For what holds no lock of Python's while it reads; ``loader`` starts processes.

    Args:
        read: reads what one thing asks for.
        asked: the things.
        threads: that read; 0 reads here, when it is asked for.
        ahead: how many are read, or wait to be, while one is in use.
    """
    if not threads:
        yield from map(read, asked)
        return
    pool, coming = ThreadPoolExecutor(threads), deque[Future[Read]]()
    try:
        for thing in asked:
            coming.append(pool.submit(read, thing))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def pixel_bytes(image_size: int) -> int:
    """Size of an image (3, image_size, image_size) of float32."""
    return 12 * image_size**2


def workers_that_fit(workers: int, batch_bytes: int) -> int:
    """Reduce a number of workers to those whose batches fit in the free shared memory.

    Containers have 64 MB of it unless told otherwise, and a worker that finds it full dies of a
    bus error.
    """
    try:
        status = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):  # not Linux: no such limit
        return workers
    free = status.f_bavail * status.f_frsize
    fit = min(workers, free // max(AHEAD * batch_bytes, 1))
    if fit < workers:
        logger.warning(
            "%d instead of %d workers: each needs %.0f MB of shared memory, and %.0f MB are free "
            "in %s; docker run --shm-size gives more",
            fit, workers, AHEAD * batch_bytes / 1e6, free / 1e6, SHARED_MEMORY,
        )  # fmt: skip
    return fit


def ignore_signals(worker: int) -> None:
    """Let workers outlive a signal to the whole group, as of Ctrl-C: their parent ends them.

    A worker that dies of it would be an error in the middle of the step that is to be finished.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@functools.cache
def _end_workers_at_exit() -> None:
    # Registered after multiprocessing's own, so called before it: that one would send SIGTERM,
    # which workers ignore, and wait for ever.
    atexit.register(_end_workers)


def _end_workers() -> None:
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
