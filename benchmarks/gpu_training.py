"""Steps of training on a device: how fast they are, and what they wait for."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.checks import Check
from benchmarks.gpu_exactness import pair_batch, trained_model

TRAININGS = (  # precision, channels last, compiled
    ("float32", False, False),
    ("float32", True, False),
    ("bfloat16", True, False),
    ("bfloat16", True, True),
)


def batches(folder: Path, device: Any, steps: int, batch_size: int, size: int) -> Any:
    """Make a loader of photographs and captions, as ``train.py`` has it."""
    from misc.config import TrainConfig
    from misc.data.captioned_images import CaptionedImage
    from misc.data.training_dataset import TrainingDataset, load_batches
    from misc.data.transforms import training_transform
    from models.config import ModelConfig

    files = sorted(folder.glob("*.jpg")) or inputs.photographs(folder, 64)
    texts = inputs.captions(len(files))
    images = [CaptionedImage(n, file, (texts[n],)) for n, file in enumerate(files)]
    transform = training_transform(size, 0.08, True, ModelConfig().image_statistics)
    dataset = TrainingDataset(images, transform, inputs.word_vectors(texts, 620), TrainConfig())
    places = [[(step + n) % len(files) for n in range(batch_size)] for step in range(steps)]
    return load_batches(dataset, places, 0 if device.type == "cpu" else 8, device)


def pinned(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    batch = next(iter(batches(path.parent, device, 1, 2, 64)))
    wrong = batch.images.is_pinned() != (device.type == "cuda")
    yield Check("batches that are not pinned for the GPU", float(wrong), 0.0)


def training(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    """Time steps of the published recipe, all that it ever trains being trained."""
    steps, batch_size, size = (3, 4, 64) if quick else (50, 160, 256)
    for precision, channels_last, compile in TRAININGS[
        : 3 if quick else 4
    ]:  # compiling takes its time
        name = precision + ", channels last" * channels_last + ", --compile" * compile
        step = training_step(path, device, precision, channels_last, compile)
        flops = flops_of(step, pair_batch(batch_size, size).to(device))
        reset_memory(device)
        seconds, waited, loss = timed_steps(
            step, batches(path.parent, device, steps + 1, batch_size, size), device
        )
        peak = peak_flops(device, precision)
        yield Check(f"{name}: loss that is not finite", float(loss != loss), 0.0)
        yield Check(f"{name}: speed", steps * batch_size / seconds, unit="images/s")
        yield Check(f"{name}: peak memory", peak_memory(device) / 1e9, unit="GB")
        share = 100 * flops * steps / (seconds - waited) / peak
        yield Check(f"{name}: of the peak of matrix products", share, unit="%")
        yield Check(f"{name}: waiting for images", 100 * waited / seconds, unit="%")


def training_step(
    path: Path, device: Any, precision: str, channels_last: bool, compile: bool
) -> Any:
    import torch

    from misc.config import TrainConfig
    from misc.inference.acceleration import compiled
    from misc.training.losses import HardNegativeLoss
    from misc.training.runs import Progress, Run, new_optimizer
    from misc.training.steps import train_step

    model, config = trained_model(path, device), TrainConfig(precision=precision)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    step = Run(path.parent, config, model, new_optimizer(model, config), Progress())
    if compile:
        model.image_encoder.trunk = compiled(model.image_encoder.trunk)
    return lambda batch: train_step(step, model, batch, HardNegativeLoss())[0]


def flops_of(step: Any, batch: Any) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step(batch)
    return counter.get_total_flops()


def timed_steps(step: Any, loader: Any, device: Any) -> tuple[float, float, float]:
    """Return the seconds of all steps but the first, those waited for images, the last loss."""
    waiting = iter(loader)
    loss = step(next(waiting).to(device))
    start, waited = time.perf_counter(), 0.0
    while True:
        asked = time.perf_counter()
        batch = next(waiting, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return time.perf_counter() - start, waited, loss
        loss = step(batch.to(device))  # a float, so the device is done with it


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
    import resource

    import torch

    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
