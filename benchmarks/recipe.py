"""Which ingredients of the recipe help? Each is left out, or added, over several seeds.

Trains the presets toy (for a few steps) and, on a data root with Flickr8k and the boxes of
Flickr30k Entities, photos-minilm; writes benchmarks/recipe.md. Two trainings at a time, of one
thread each; what never trains is computed once. All rows of photographs need a night. --rows
chooses some of them, and what was measured before is not measured again.

    python -m benchmarks.recipe --photographs-root /data
    python -m benchmarks.recipe --photographs-root /data --rows preset "GloVe: preset photos"
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from misc.cli import run
from misc.cli.arguments import positive

PUBLISHED = (
    "--warmup-epochs 0 --cycle-epochs 0 --weight-decay 0 --learning-rate 1e-3 --pool-k 15 "
    "--image-pooling weldon --text-pooling last --image-dropout 0.5 --text-dropout 0.25 "
    "--captions-per-image 1 --word-dropout 0 --location-dropout 0 --location-weight 0 "
    "--location-phrases 0 --cached-crops 0"
)
RETRIEVAL = ("i2t/R@1", "t2i/R@1", "i2t/R@10", "t2i/R@10", "rsum")
STEPS = {
    "toy": "--epochs 2 --max-batches 110 --cycle-epochs 2 --warmup-epochs 1",
    "photos-minilm": "",
}
EPOCHS = "--epochs {0} --cycle-epochs {0} --warmup-epochs {0}".format
LITE0 = "--backbone timm/tf_efficientnet_lite0 --image-weights package:efficientnet-lite0"
ROWS = {
    "photos-minilm": {
        "preset": "",
        "no phrases": "--location-phrases 0",
        "no loss over locations": "--location-phrases 0 --location-weight 0",
        "two phrases of an image": "--location-phrases 2",
        "all locations": "--location-dropout 0",
        "captions joint in the softmax": "--softmax-positives joint",
        "heat maps of 416 pixels": "--localization-size 416",
        "GloVe: preset photos": "--word-vectors glove --word-dim 50 --captions-per-image 2 "
        "--cached-crops 0 --location-phrases 4 --location-dropout 0.75 " + EPOCHS(7),
        "all of the network frozen": "--trained-parts 0 --finetune-epoch 1000",
        "the end of the network at a tenth of the rate": "--trunk-rate 0.1",
        "the end of the network at the full rate": "--trunk-rate 1",
        "two captions of an image": "--captions-per-image 2",
        "no crops": "--cached-crops 0",
        "two crops, and mirror images": "--cached-crops 2 --flip",
        "12 epochs": EPOCHS(12),
        "hardest negatives in the last 2 epochs": "--warmup-epochs 6",
        "384 dimensions": "--embedding-dim 384",
        "1,024 dimensions": "--embedding-dim 1024",
        "softmax of 30 times the similarity": "--softmax-scale 30",
        "weldon pooling of 15 and 15": "--pool-k 15",
        "max pooling of 40 locations": "--image-pooling max",
        "GPO of locations": "--image-pooling gpo",
        "state at the last word": "--text-pooling last",
        "GPO of words": "--text-pooling gpo",
        "words dropped": "--word-dropout 0.2",
        "moving average": "--ema 0.99",
        "hardest negatives throughout": "--warmup-epochs 0",
        "published recipe": PUBLISHED,
        "EfficientNet-Lite0": LITE0,
    },
    "toy": {
        "220 steps of the preset": "",
        "published recipe": PUBLISHED,
        "no warm-up": "--warmup-epochs 0",
    },
}


def commands(preset: str, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Build what training and pointing have in common for all rows of a preset."""
    if preset == "toy":
        root, dataset, game = args.data_root, "toy", ["toy", "--limit", "300"]
    else:
        root, dataset = args.photographs_root, "flickr8k"
        game = ["flickr30k_entities", "--precision", "bfloat16"]
    where = ["--data-root", str(root), "--dataset"]
    return [*where, dataset, *STEPS[preset].split()], [*where, *game]


def measure(preset: str, name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Train one row with one seed: recalls of the best epoch, pointing, seconds of CPU time."""
    training, pointing = commands(preset, args)
    label = f"{preset}-{''.join(c if c.isalnum() else '-' for c in name)}-{seed}"
    folder, environment = args.runs / label, os.environ | {"OMP_NUM_THREADS": "1"}
    if (folder / "result.json").exists():  # of a benchmark that was stopped
        return json.loads((folder / "result.json").read_text())
    options = [*ROWS[preset][name].split(), "--seed", str(seed), "--resume", "--workers", "1"]

    def script(*command: str) -> float:
        """Run a script, and say how many seconds of CPU time it took."""
        silent = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=silent, stderr=silent
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise ValueError(f"{' '.join(command)} ended with status {status}")
        return usage.ru_utime + usage.ru_stime

    where = ["--preset", preset, "-n", label, "--runs", str(args.runs)]
    seconds = script("train.py", *where, *training, *options)
    game = folder / "pointing.json"
    script("pointing_game.py", "-p", str(folder / "best.pt"), *pointing, "--json", str(game))
    epochs = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    best, hits = max(epochs, key=lambda epoch: epoch["rsum"]), json.loads(game.read_text())
    print(f"{label}: rsum {best['rsum']:.1f}, {seconds:.0f} s", flush=True)
    questions = "" if preset == "toy" else "@one_box"
    result = {key: best[key] for key in RETRIEVAL} | {
        "pointing": hits[f"pointing_game{questions}"],
        "smoothed": hits[f"pointing_game{questions}/smoothed"],
        "centre": hits[f"centre_baseline{questions}"],
        "seconds": seconds,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return result


def table(preset: str, results: dict[str, list[dict[str, float]]]) -> str:
    """Lay one preset's rows out as Markdown: means over the seeds, and their deviation."""
    centre = next(iter(results.values()))[0]["centre"]
    lines = [
        f"| {preset} | R@1 captions / images | R@10 | rsum | pointing, peak / smoothed (centre "
        f"{centre:.1f}) | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        cells = [
            _cell(found, *keys)
            for keys in (RETRIEVAL[:2], RETRIEVAL[2:4], ("rsum",), ("pointing", "smoothed"))
        ]
        cells.append(f"{statistics.mean(result['seconds'] for result in found):.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: list[dict[str, float]], *keys: str) -> str:
    texts = []
    for key in keys:
        values = [result[key] for result in found]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        texts.append(f"{statistics.mean(values):.1f}{spread}")
    return " / ".join(texts)


def main(args: argparse.Namespace) -> None:
    presets = [preset for preset in ROWS if preset == "toy" or args.photographs_root]
    rows = {
        preset: [name for name in ROWS[preset] if not args.rows or name in args.rows]
        for preset in presets
    }
    jobs = [
        (preset, name, seed)
        for seed in range(args.seeds)
        for preset in presets
        for name in rows[preset]
    ]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        measured = pool.map(lambda job: measure(job[0], job[1], job[2], args), jobs)
        done = dict(zip(jobs, measured, strict=True))
    text = args.output.read_text() if args.output.exists() else "# The recipe\n"
    parts = [text.split("\n| ")[0].rstrip() + "\n"]  # what is written above the tables stays
    for preset in filter(rows.get, presets):
        results = {
            name: [done[preset, name, seed] for seed in range(args.seeds)] for name in rows[preset]
        }
        parts.append(table(preset, results))
    args.output.write_text("\n".join(parts))


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="of the toy set")
    parser.add_argument(
        "--photographs-root",
        type=Path,
        help="data root with Flickr8k and Flickr30k Entities; default: none, for the toy set alone",
    )
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", type=positive, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/recipe.md"))
    return parser


if __name__ == "__main__":
    run(main, get_parser())
