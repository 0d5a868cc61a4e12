"""Which ingredients of the recipe help? Each is left out, or added, at equal steps.

Trains the presets toy and, on a data root with photographs, photos; writes benchmarks/recipe.md.
Two trainings at a time, of one thread each, so that both presets take about an hour on two
cores: the trunk of "photos" is frozen, and its maps are computed once.

    python -m benchmarks.recipe --photographs flickr8k --photographs-root /data
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from misc.cli import run
from misc.cli.arguments import positive

PUBLISHED = (
    "--warmup-epochs 0 --cycle-epochs 0 --weight-decay 0 --learning-rate 1e-3 --pool-k 15 "
    "--image-pooling weldon --text-pooling last --image-dropout 0.5 --text-dropout 0.25 "
    "--captions-per-image 1 --word-dropout 0 --location-dropout 0"
)
PRESET = (  # what STEPS changes, to save time or to have it measured
    "--input-size 416 --image-size 416 --localization-size 416 --pool-k 40 --word-dropout 0 "
    "--location-dropout 0"
)
STEPS = {
    "toy": "--epochs 2 --max-batches 110 --cycle-epochs 2 --warmup-epochs 1",
    "photos": "--epochs 5 --cycle-epochs 5 --warmup-epochs 3 "
    "--input-size 224 --image-size 224 --localization-size 224 --pool-k 12 "
    "--word-dropout 0.2 --location-dropout 0.2",
}
ROWS = {
    "photos": {
        "default": "",
        "published recipe": PUBLISHED,
        "no warm-up": "--warmup-epochs 0",
        "warm-up on all negatives": "--warmup-loss all",
        "softmax throughout": "--warmup-epochs 5",
        "weldon pooling of 5 and 5": "--pool-k 5",
        "max pooling of 5 locations": "--image-pooling max --pool-k 5",
        "GPO of locations": "--image-pooling gpo",
        "state at the last word": "--text-pooling last",
        "GPO of words": "--text-pooling gpo",
        "no words or locations dropped": "--word-dropout 0 --location-dropout 0",
        "1 caption of an image at a time": "--captions-per-image 1",
        "no dropout of features": "--image-dropout 0",
        "images of 416 pixels": "--input-size 416 --image-size 416 --localization-size 416 "
        "--pool-k 40",
        "preset: 416 pixels, none dropped": PRESET,
        "cosine": "--cycle cosine",
        "a step in the end": "--cycle-epochs 0 --first-decrease 4 --last-decrease 4 -lrd 0.1",
        "gradients clipped at 200": "--clip-norm 200",
        "text path at half the rate": "--text-rate 0.5",
        "moving average": "--ema 0.99",
    },
    "toy": {
        "default": "",
        "published recipe": PUBLISHED,
        "no warm-up": "--warmup-epochs 0",
    },
}


def commands(preset: str, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Build what training and pointing have in common for all rows of a preset."""
    if preset == "toy":
        root, dataset, game = args.data_root, "toy", ["toy", "--limit", "300"]
    else:
        root, dataset, game = args.photographs_root, args.photographs, ["coco"]
    where = ["--data-root", str(root), "--dataset"]
    return [*where, dataset, *STEPS[preset].split()], [*where, *game]


def measure(preset: str, name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Train one row with one seed: rsum and recall of the last epoch, pointing, seconds."""
    training, pointing = commands(preset, args)
    label = f"{preset}-{''.join(c if c.isalnum() else '-' for c in name)}-{seed}"
    folder, environment = args.runs / label, os.environ | {"OMP_NUM_THREADS": "1"}
    if (folder / "result.json").exists():  # of a benchmark that was stopped
        return json.loads((folder / "result.json").read_text())
    options = [*ROWS[preset][name].split(), "--seed", str(seed), "--resume", "--workers", "0"]

    def script(*command: str) -> None:
        subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)

    start = time.monotonic()
    where = ["--preset", preset, "-n", label, "--runs", str(args.runs)]
    script("train.py", *where, *training, *options)
    seconds = time.monotonic() - start
    game = folder / "pointing.json"
    script("pointing_game.py", "-p", str(folder / "last.pt"), *pointing, "--json", str(game))
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    hits = json.loads(game.read_text())
    print(f"{label}: rsum {last['rsum']:.1f}, {seconds:.0f} s", flush=True)
    result = {
        "rsum": last["rsum"],
        "R@10": last["t2i/R@10"],
        "pointing": hits["pointing_game"],
        "centre": hits["centre_baseline"],
        "seconds": seconds,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return result


def table(preset: str, results: dict[str, list[dict[str, float]]]) -> str:
    """Lay one preset's rows out as Markdown: means over the seeds, and their deviation."""
    centre = results["default"][0]["centre"]
    lines = [
        f"| {preset} | rsum | caption -> image R@10 | pointing (centre {centre:.1f}) | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, found in results.items():
        cells = []
        for key in ("rsum", "R@10", "pointing", "seconds"):
            values = [result[key] for result in found]
            spread = statistics.stdev(values) if len(values) > 1 and key != "seconds" else None
            digits = 0 if key == "seconds" else 1
            text = f"{statistics.mean(values):.{digits}f}"
            cells.append(text if spread is None else f"{text} ± {spread:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(args: argparse.Namespace) -> None:
    presets = ["photos", "toy"] if args.photographs else ["toy"]
    first: list[tuple[str, str, int]] = [
        (preset, "default", 0) for preset in presets
    ]  # makes what the others share
    jobs: list[tuple[str, str, int]] = [
        (preset, name, seed)
        for seed in range(args.seeds)
        for preset in presets
        for name in ROWS[preset]
        if (preset, name, seed) not in first
    ]
    done = {job: measure(*job, args) for job in first}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        measured = pool.map(lambda job: measure(job[0], job[1], job[2], args), jobs)
        done |= dict(zip(jobs, measured, strict=True))
    text = args.output.read_text() if args.output.exists() else "# The recipe\n"
    parts = [text.split("\n| ")[0].rstrip() + "\n"]  # what is written above the tables stays
    for preset in presets:
        rows = {
            name: [done[preset, name, seed] for seed in range(args.seeds)] for name in ROWS[preset]
        }
        parts.append(table(preset, rows))
    args.output.write_text("\n".join(parts))


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="of the toy set")
    parser.add_argument("--photographs", metavar="DATASET", help="such as flickr8k; default: none")
    parser.add_argument(
        "--photographs-root", type=Path, default=Path("data"),
        help="their data root, with COCO's photographs and instances for pointing",
    )  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/recipe.md"))
    return parser


if __name__ == "__main__":
    run(main, get_parser())
