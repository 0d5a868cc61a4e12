"""Steps of training on a device: how fast they are, and what they wait for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.checks import Check
from benchmarks.gpu_exactness import pair_batch, trained_model
from benchmarks.gpu_use import flops_of, use, use_planes

TRAININGS = (  # precision, channels last
    ("float32", False),
    ("float32", True),
    ("bfloat16", False),
    ("bfloat16", True),
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
    for precision, channels_last in TRAININGS:
        name = precision + ", channels last" * channels_last
        step = training_step(path, device, precision, channels_last)
        flops = flops_of(step, pair_batch(batch_size, size))
        loader = batches(path.parent, device, steps + 1, batch_size, size)
        yield from use(f"training, {name}", step, loader, device, precision, flops)


def training_step(path: Path, device: Any, precision: str, channels_last: bool) -> Any:
    import torch

    from misc.config import TrainConfig
    from misc.inference.folded_norms import folding_norms
    from misc.training.losses import HardNegativeLoss
    from misc.training.runs import Progress, Run, new_optimizer
    from misc.training.steps import train_step

    model, config = trained_model(path, device), TrainConfig(precision=precision)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    else:
        use_planes(model.image_encoder.trunk)
    step = Run(path.parent, config, model, new_optimizer(model, config), Progress())

    def train(batch):
        with folding_norms(model.image_encoder.trunk):
            # It returns the loss as a float, so the device is done with it.
            return train_step(step, model, batch.to(device), HardNegativeLoss())

    return train
