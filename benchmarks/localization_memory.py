"""Peak memory of localising in 200 and in 2,000 images; it should be the same.

    python -m benchmarks.localization_memory

The images are toy scenes drawn for this, with their phrases and outlines; each script runs in a
process of its own for each number of images. The model is small but random, so the results mean
nothing. It needs Linux's /proc.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from misc.checkpoint import save_checkpoint
from misc.toy import SceneCounts, ensure_toy
from models.joint_embedding import JointEmbedding, ModelConfig

SCRIPTS = {"pointing_game": ["-k", "180"], "semantic_seg": ["--split", "test"]}
COUNTS = (200, 2000)


def measure(script: str, root: Path, count: int, workers: int) -> tuple[float, float]:
    """Run a script in a process of its own: its peak memory in MB, and the seconds it took."""
    code = (
        f"import pathlib, sys, {script} as script\n"
        "script.main(script.get_parser().parse_args(sys.argv[1:]))\n"
        # Not resource.getrusage, whose peak of a process begins with that of its parent.
        "print(pathlib.Path('/proc/self/status').read_text())\n"
    )
    command = [sys.executable, "-c", code, "-p", root / "model.pt", "--data-root", root]
    command += ["--dataset", "toy", "--limit", count, "--workers", workers, "--device", "cpu"]
    start = time.perf_counter()
    output = subprocess.run(
        [*map(str, command), *SCRIPTS[script]], check=True, capture_output=True, text=True
    ).stdout
    seconds = time.perf_counter() - start
    assert f"{count} of {count} images" in output, output
    return int(re.search(r"VmHWM:\s+(\d+) kB", output)[1]) / 1024, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        ensure_toy(root, counts=SceneCounts(train=1, val=1, test=max(COUNTS)))
        config = ModelConfig("resnet18", 3, 256, 12, word_dim=50, sru_layers=2)
        save_checkpoint(root / "model.pt", JointEmbedding(config), {"config": {"dataset": "toy"}})
        print("script          images   peak MB   seconds")
        for script in SCRIPTS:
            peaks = []
            for count in COUNTS:
                peak, seconds = measure(script, root, count, args.workers)
                peaks.append(peak)
                print(f"{script:14}{count:8}{peak:10.0f}{seconds:10.1f}", flush=True)
            print(f"{'':14}{'growth':>8}{100 * (peaks[1] / peaks[0] - 1):9.1f}%")


if __name__ == "__main__":
    main()
