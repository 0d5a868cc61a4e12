"""How well a device is used: its speed, its memory, its share of the peak, what it waits for."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.checks import Check


def use(
    name: str,
    step: Callable[[Any], Any],
    loader: Iterable[Any],
    device: Any,
    precision: str,
    flops: int,
) -> Iterator[Check]:
    """Take a step with each batch of a loader, and tell how well that uses the device.

    Args:
        name: of the steps.
        step: takes a batch, with ``images`` (B, 3, H, W); when it returns, the device is done.
        loader: of batches, all of one size; the first, which has kernels chosen, does not count.
        device: of torch.
        precision: that the peak is measured in.
        flops: operations of a step, from ``flops_of``.
    """
    reset_memory(device)
    waiting = iter(loader)
    step(next(waiting))
    start, waited, steps, images = time.perf_counter(), 0.0, 0, 0
    while True:
        asked = time.perf_counter()
        batch = next(waiting, None)
        waited += time.perf_counter() - asked
        if batch is None:
            break
        step(batch)
        steps, images = steps + 1, images + len(batch.images)
    seconds = time.perf_counter() - start
    share = flops * steps / (seconds - waited) / peak_flops(device, precision)
    yield Check(f"{name}: speed", images / seconds, unit="images/s")
    yield Check(f"{name}: peak memory", peak_memory(device) / 1e9, unit="GB")
    yield Check(f"{name}: of the peak of matrix products", 100 * share, unit="%")
    yield Check(f"{name}: waiting for images", 100 * waited / seconds, unit="%")


def flops_of(step: Callable[[Any], Any], batch: Any) -> int:
    """Count the operations of a step: six for each weight and place where it trains, else two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step(batch)
    return counter.get_total_flops()


def peak_flops(device: Any, precision: str) -> float:
    """Measure a large matrix product, in operations a second."""
    import torch

    side = 512 if device.type == "cpu" else 8192
    left = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product = left @ left
        float(product[0, 0])  # waits for it
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def reset_memory(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: Any) -> float:
    """Return the bytes that the device has held at most; on the CPU, those of the process."""
    import torch

    from benchmarks import memory

    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return 2.0**20 * memory.peak()


def use_planes(network: Any) -> None:
    """Have a network compute with planes of channels, as without channels last."""
    import torch

    network.to(memory_format=torch.contiguous_format)
    network.register_forward_pre_hook(lambda module, images: (images[0].contiguous(),))
