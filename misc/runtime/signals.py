"""What Ctrl-C and SIGTERM do: a question that a loop asks between two steps."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

from misc.runtime.distributed import gather_numbers

logger = logging.getLogger(__name__)


class StopRequest:
    """Turns SIGINT and SIGTERM into a question that a loop can ask between two steps.

    A second SIGINT is not caught: it raises ``KeyboardInterrupt``, for the impatient. Where several
    processes work together, ``agree`` gives all of them the same answer.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._previous: dict[int, Callable | int | None] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self._signal is not None

    def agree(self) -> bool:
        """Say whether any process was asked to stop, and from then on count as asked here too."""
        number = int(gather_numbers(self._signal or 0).max())
        if number:
            self._signal = signal.Signals(number)
        return number > 0

    @property
    def name(self) -> str:
        """Name of the signal that asked."""
        return self._signal.name

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that this signal ended."""
        return 128 + self._signal

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
        logger.warning("%s: finishing this step, then saving", self.name)


def ignore_signals(worker: int) -> None:
    """Let data workers outlive a Ctrl-C in the terminal: their parent ends them in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
