"""Peak memory of extracting the features of 1,000 and of 10,000 images; it should be the same.

    python -m benchmarks.extraction_memory

Images of 64 pixels are generated, and a small model (ResNet-18 of two stages, 2,400 dimensions,
as many as the published one has) embeds them in a process of its own for each number of images.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from misc.checkpoint import save_checkpoint
from models.joint_embedding import JointEmbedding, ModelConfig

SUFFIXES = (".npz", ".npy", ".parquet", ".pkl")
COUNTS = (1000, 10000)


def make_inputs(folder: Path) -> None:
    config = ModelConfig(backbone="resnet18", stages=2, pool_k=2, word_dim=3, sru_layers=1)
    save_checkpoint(folder / "model.pt", JointEmbedding(config), {})
    generator = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(max(COUNTS)):
        pixels = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:05}.jpg")
    paths = [f"{path}\n" for path in sorted((folder / "images").iterdir())]
    for count in COUNTS:
        (folder / f"{count}.txt").write_text("".join(paths[:count]), encoding="utf-8")


def measure(folder: Path, count: int, suffix: str, workers: int) -> tuple[float, float, float]:
    """Extract in a process of its own: peak MB of it, of its largest worker, and seconds."""
    code = (
        "import pathlib, re, resource, sys, image_features_extraction as script\n"
        "script.main(script.get_parser().parse_args(sys.argv[1:]))\n"
        # Not resource.getrusage, whose peak of a process begins with that of its parent.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print('peak', re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
        "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", code, "-p", folder / "model.pt", "-d", folder / f"{count}.txt"]
    command += ["-o", folder / f"{count}{suffix}", "--image-size", "64", "-bs", "32"]
    command += ["--workers", str(workers), "--device", "cpu"]
    start = time.perf_counter()
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    peaks = [int(number) / 1024 for number in re.findall(r"peak (\d+)", output.stdout)]
    return peaks[0], peaks[1], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    args = parser.parse_args()
    print("file        images   peak MB   worker MB   seconds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        for suffix in SUFFIXES:
            peaks = []
            for count in COUNTS:
                peak, worker, seconds = measure(folder, count, suffix, args.workers)
                peaks.append(peak)
                print(f"{suffix:10}{count:8}{peak:10.0f}{worker:12.0f}{seconds:10.1f}", flush=True)
            print(f"{'':10}{'growth':>8}{100 * (peaks[1] / peaks[0] - 1):9.1f}%")


if __name__ == "__main__":
    main()
