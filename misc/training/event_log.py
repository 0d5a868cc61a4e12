"""A run's log for TensorBoard."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from misc.runtime.distributed import is_main
from misc.training.runs import Run

logger = logging.getLogger(__name__)


class EventLog(SummaryWriter):
    """A log for TensorBoard, which a full disk ends, but not the training.

    A thread of TensorBoard's own writes it; what that raises comes up in the next call.
    """

    def __init__(self, run: Run) -> None:
        self._ended = False
        folder = str(run.folder)
        self._write(super().__init__, folder, purge_step=run.progress.epoch)

    def _write(self, write: Callable[..., None], *args: Any, **options: Any) -> None:  # noqa: ANN401
        if self._ended:
            return
        try:
            write(*args, **options)
        except OSError as error:
            self._ended = True
            logger.warning("the log for TensorBoard ends here (%s); log.jsonl goes on", error)

    def add_scalar(self, *args: Any, **options: Any) -> None:  # noqa: ANN401, D102
        self._write(super().add_scalar, *args, **options)

    def add_image(self, *args: Any, **options: Any) -> None:  # noqa: ANN401, D102
        self._write(super().add_image, *args, **options)

    def flush(self) -> None:  # noqa: D102
        self._write(super().flush)

    def close(self) -> None:  # noqa: D102
        self._write(super().close)


@contextlib.contextmanager
def event_log(run: Run) -> Iterator[SummaryWriter | None]:
    """Open the run's log for TensorBoard; ``None`` in all processes but the main one."""
    if not is_main():
        yield None
        return
    show = threading.excepthook

    def show_others(raised: threading.ExceptHookArgs) -> None:
        if not type(raised.thread).__module__.startswith("tensorboard."):
            show(raised)

    threading.excepthook = show_others  # the log says in one line what its thread raised
    try:
        with EventLog(run) as log:
            yield log
    finally:
        threading.excepthook = show
