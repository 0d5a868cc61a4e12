"""What Ctrl-C and SIGTERM do: a question that a loop asks between two steps."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from misc.runtime.distributed import gather_numbers

logger = logging.getLogger(__name__)


class StopRequest:
    """Turns SIGINT and SIGTERM into a question that a loop can ask between two steps.

    A second signal is not remembered: it raises ``KeyboardInterrupt``, for the impatient, and so
    does the first one within ``at_once``. Where several processes work together, ``agree`` gives
    all of them the same answer.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._at_once = False
        self.interrupted = False  # within ``at_once``, so that nothing is half-done

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self._signal is not None

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal interrupt what is long and can be done again, such as a validation.

        Raises:
            KeyboardInterrupt: at the first signal, or because there was one before.
        """
        if self:
            self.interrupted = True
            raise KeyboardInterrupt
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def agree(self) -> bool:
        """Say whether any process was asked to stop, and from then on count as asked here too."""
        number = int(gather_numbers(self._signal or 0).max())
        if number:
            self._signal = signal.Signals(number)
        return number > 0

    @property
    def name(self) -> str:
        """Name of the signal that asked; "" if none did."""
        return self._signal.name if self._signal else ""

    @property
    def exit_status(self) -> int:
        """What a shell reports of a process that this signal ended; 0 if none asked."""
        return 128 + self._signal if self._signal else 0

    def _remember(self, number: int, frame: FrameType | None) -> None:
        again, self._signal = bool(self), signal.Signals(number)
        self.interrupted = self._at_once and not again
        if again or self.interrupted:
            raise KeyboardInterrupt
        logger.warning("%s: finishing this step, then saving", self.name)
