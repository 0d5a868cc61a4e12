"""The machine's peak: the fastest of some well-shaped convolutions."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.config import ModelConfig

# Channels in and out, side of the maps, side of the kernel; in batches of 8.
SHAPES = ((128, 128, 100, 3), (256, 256, 50, 3), (512, 512, 25, 3), (1024, 1024, 25, 1))
BATCH = 8


def convolutions(precision: str, seconds: float = 0.5) -> Callable[[], float]:
    """Prepare work that lasts some ``seconds``; its result is its number of operations.

    The first call, which chooses the shape, takes longer.
    """
    import torch

    dtype: torch.dtype = getattr(torch, precision)
    chosen: list[Any] = []

    def convolution(channels: int, filters: int, side: int, kernel: int) -> Callable[[], object]:
        layer = torch.nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False)
        maps = torch.randn(BATCH, channels, side, side)
        layer.to(dtype).to(memory_format=torch.channels_last)
        maps = maps.to(dtype, memory_format=torch.channels_last)
        return lambda: layer(maps)

    @torch.inference_mode()
    def work() -> float:
        if not chosen:
            rates: dict[float, tuple[Any, Any, float]] = {}
            for shape in SHAPES:
                run = convolution(*shape)
                run()
                fastest = min(_seconds(run) for _ in range(5))
                rates[_operations(*shape) / fastest] = shape, run, fastest
            shape, run, fastest = rates[max(rates)]
            chosen.extend([shape, run, max(1, round(seconds / fastest))])
        shape, run, repeats = chosen
        for _ in range(repeats):
            run()
        return repeats * _operations(*shape)

    return work


def _operations(channels: int, filters: int, side: int, kernel: int) -> float:
    return 2.0 * BATCH * channels * filters * side**2 * kernel**2


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def image_operations(config: "ModelConfig", size: int) -> float:
    """Operations (multiplications and additions) of embedding one image, without running it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models.joint_embedding import JointEmbedding

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        JointEmbedding(config).eval().encode_image(torch.empty(1, 3, size, size))
    return counter.get_total_flops()
