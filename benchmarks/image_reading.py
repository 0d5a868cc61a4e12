"""Reading images: JPEG to normalised tensor on one core, and how long the encoder waits for it.

python -m benchmarks.image_reading
python -m benchmarks.image_reading --quick
"""

import argparse
import time
from pathlib import Path

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run
from misc.cli.options import common_options
from models.config import ModelConfig

BATCH = 8


def ours(photographs: list[Path], size: int) -> Work:
    import torch

    from misc.data.decoding import load_image
    from misc.data.transforms import evaluation_transform

    torch.set_num_threads(1)
    transform = evaluation_transform(size, ModelConfig().image_statistics)

    def work():
        return torch.stack([transform(load_image(path)) for path in photographs]).numpy()

    return work


def naive(photographs: list[Path], size: int) -> Work:
    import torch

    from benchmarks.naive import read_image

    torch.set_num_threads(1)
    return lambda: torch.stack([read_image(path, size) for path in photographs]).numpy()


def encoding(model: Path, photographs: list[Path], size: int, workers: int) -> Work:
    """Encode images as they are read; the result is the percentage of the time spent waiting."""
    import torch

    from misc.checkpoints.checkpoint import load_model
    from misc.data.images import image_loader
    from misc.data.transforms import evaluation_transform
    from misc.inference.acceleration import accelerate

    fast = accelerate(load_model(model))

    @torch.inference_mode()
    def work():
        transform = evaluation_transform(size, ModelConfig().image_statistics)
        batches = iter(image_loader(photographs, transform, BATCH, workers, torch.device("cpu")))
        next(batches)  # its wait is that for the workers to start
        waited, start = 0.0, time.perf_counter()
        for _ in range(len(photographs) // BATCH - 1):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            fast.encode_image(batch.images)
        return 100 * waited / (time.perf_counter() - start)

    return work


def main(args: argparse.Namespace) -> None:
    config, size, count = inputs.model_config(args.quick), 128 if args.quick else 400, 6 * BATCH
    workers = common_options().get_default("workers")
    with inputs.folder() as folder:
        settings = {"photographs": inputs.photographs(folder, count), "size": size}
        sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
        reading = measure(sides, rounds=5, agree=agreement.close(1e-5))
        settings |= {"model": inputs.save_model(folder, config), "workers": workers}
        waiting = measure({"ours": Side(encoding, settings)}, rounds=1)
    waits = waiting.results["ours"]
    rows = [
        Row.rates(f"JPEG to tensor, {size}², one core", "images/s", reading, count, min_ratio=1.25),
        Row(f"encoder's wait for images, {workers} workers", "%", waits, max_ours=5),
    ]
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
