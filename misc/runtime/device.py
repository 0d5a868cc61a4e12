"""The device that the scripts run on, and the precision of its products."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch

from misc.runtime.convolutions import ExactStridedConvolutions

logger = logging.getLogger(__name__)


def select_device(name: str = "auto") -> torch.device:
    """Choose the device that a user asked for, and say so in one log line.

    Of the processes that ``torchrun`` starts, each takes the CUDA device of its own number.

    Args:
        name: "auto" (CUDA when there is one, else the CPU) or a torch device ("cuda:1", "cpu").

    Raises:
        ValueError: if the device does not exist here, or processes of ``torchrun`` were to share
            one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and "LOCAL_RANK" in os.environ:
        if name != "cuda":
            raise ValueError(
                f"--device {name}: under torchrun each process takes the GPU of its own number; "
                "give --device cuda, and choose GPUs with CUDA_VISIBLE_DEVICES"
            )
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} cannot be used here ({reason}); try auto") from error
    if device.type == "cpu":
        use_fast_products()
    else:
        use_exact_products()
    logger.info("device: %s", device)
    return device


def use_fast_products() -> None:
    """Let oneDNN compute float32 matrix products on the CPU, if they stay as accurate.

    Its kernels can be twice as fast as those of torch's default. The setting allows it to round to
    bfloat16 inside, which it does only on chips with units for that; so a product is checked.
    """
    mkldnn: Any = torch.backends.mkldnn  # whose types lack it
    mkldnn.matmul.fp32_precision = "bf16"
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 512, 512, generator=generator)
    exact = left.double() @ right.double()
    if (left @ right - exact).abs().max() > 1e-5 * exact.abs().max():
        mkldnn.matmul.fp32_precision = "none"


def use_exact_products() -> None:
    """Keep CUDA from rounding float32 products and convolutions to TF32: fp32 is to be float32.

    bf16 is there for whoever wants speed; TF32 has its 10 bits of fraction at half of its rate, and
    a batch norm that is folded with it differs from one that is not.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.fp32_precision = "ieee"


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Context in which matrix products run in ``precision`` ("float32" or "bfloat16").

    On the CPU, convolutions whose bfloat16 is slow stay in float32.
    """
    dtype = getattr(torch, precision)
    rounds = dtype is not torch.float32
    exact = (
        ExactStridedConvolutions() if rounds and device.type == "cpu" else contextlib.nullcontext()
    )
    with torch.autocast(device.type, dtype=dtype, enabled=rounds), exact:
        yield
