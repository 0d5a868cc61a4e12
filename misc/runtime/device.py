"""Where and how the scripts run: device, precision, seeds, signals."""

import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

import torch

from misc.runtime.distributed import gather_numbers

logger = logging.getLogger(__name__)


def select_device(name: str = "auto") -> torch.device:
    """Choose the device that a user asked for, and say so in one log line.

    Of the processes that ``torchrun`` starts, each takes the CUDA device of its own number.

    Args:
        name: "auto" (CUDA when there is one, else the CPU) or a torch device ("cuda:1", "cpu").

    Raises:
        ValueError: if the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here ({reason}); try auto") from error
    if device.type == "cpu":
        use_fast_products()
    logger.info("device: %s", device)
    return device


def use_fast_products() -> None:
    """Let oneDNN compute float32 matrix products on the CPU, if they stay as accurate.

    Its kernels can be twice as fast as those of torch's default. The setting allows it to round to
    bfloat16 inside, which it does only on chips with units for that; so a product is checked.
    """
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 512, 512, generator=generator)
    exact = left.double() @ right.double()
    if (left @ right - exact).abs().max() > 1e-5 * exact.abs().max():
        torch.backends.mkldnn.matmul.fp32_precision = "none"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which matrix products run in ``precision`` ("float32" or "bfloat16")."""
    dtype = getattr(torch, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def mixed_seed(*numbers: int) -> int:
    """Make one seed of several numbers, far from the seeds of neighbouring ones."""
    mixed = 1442695040888963407
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1) % 2**63
    return mixed


def seed_generators(device: torch.device, *numbers: int) -> None:
    """Seed torch's generators of the CPU and of one device with a mix of numbers.

    Unlike ``torch.manual_seed`` it does not queue a call for a CUDA that never starts, which
    costs half a millisecond and some memory each time.
    """
    torch.default_generator.manual_seed(mixed_seed(*numbers))
    if device.type == "cuda":
        torch.cuda.manual_seed(mixed_seed(*numbers))


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
