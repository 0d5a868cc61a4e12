"""Trials: a script, many odd inputs at once, and what must be true afterwards."""

import json
import random
import shutil
import signal
from pathlib import Path

import numpy as np

from misc.data.image_files import is_image
from misc.data.own_captions import read_caption_file
from misc.features import load_embeddings
from tests.soak import bad_files
from tests.soak.world import (
    EVALUATIONS,
    Result,
    Trial,
    World,
    compare,
    evaluation,
    lost,
    results_of,
)

EPOCHS = 2
SMALL = {
    "backbone": "resnet18", "stages": 2, "embedding-dim": 16, "pool-k": 2, "crop-size": 32,
    "image-size": 32, "precision": "float32", "batch-size": 4, "epochs": EPOCHS,
}  # fmt: skip
MANY = 40  # odd inputs of a command


def images(world: World, folder: Path, chance: random.Random) -> Result:
    data, output = folder / "data", folder / "rows.npz"
    (data / "inner").mkdir(parents=True)
    for number in range(MANY):
        bad_files.odd_image(chance.choice((data, data / "inner")), number, chance)
    (data / "inner" / "loop").symlink_to(data)
    shutil.copy(next(world.photographs.iterdir()), data)
    expected = sum(
        is_image(file) and not file.is_dir()
        for place in (data, data / "inner")
        for file in place.iterdir()
    )
    options = ["-p", world.model, "-d", data, "-r", "-o", output, "--image-size", 32]
    found = world.execute("image_features_extraction", [*options, *world.common], folder / "log")
    return Result(MANY, found.violations() + lost(output, expected, found))


def phrases(world: World, folder: Path, chance: random.Random) -> Result:
    (folder / "data").mkdir()
    for number in range(20):
        bad_files.odd_image(folder / "data", number, chance)
    texts = [bad_files.odd_text(chance).replace("\0", "") for _ in range(2)]
    options = ["-p", world.model, "-i", folder / "data", "-o", folder / "out", "-k", 5]
    options += ["--image-size", 32, *world.common, "--boxes", "--npz", "--json", folder / "json"]
    found = world.execute("localize", [*options, "-t", "a dog", *texts], folder / "log")
    violations, results = found.violations(), results_of(folder, found)
    if results is not None:
        expected = sum(is_image(file) for file in (folder / "data").iterdir())
        used, left_out = len(results["images"]), len(results["left_out"])
        violations += compare(expected, shown=used, named=left_out)
        pictures = len(list((folder / "out").glob("*.png")))
        violations += compare(used, pictures=pictures)
    return Result(20, violations)


def texts(world: World, folder: Path, chance: random.Random) -> Result:
    file, output = folder / "texts.txt", folder / "rows.npz"
    odd = [bad_files.odd_text(chance).replace("\n", " ") for _ in range(MANY)]
    file.write_text("\n".join([*odd, "a dog"]), encoding="utf-8")
    options = ["-p", world.model, "-d", file, "-o", output, *world.common]
    found = world.execute("text_features_extraction", options, folder / "log")
    return Result(MANY, found.violations() + lost(output, MANY + 1, found))


def tables(world: World, folder: Path, chance: random.Random) -> Result:
    names = [file.name for file in world.photographs.iterdir()]
    file = folder / f"captions{chance.choice(('.csv', '.tsv', '.jsonl'))}"
    data, rows = bad_files.odd_table(file.suffix, names, MANY, chance)
    file.write_bytes(data)
    options = ["--dataset", "captions", "--captions", file, "--images", world.photographs]
    options += ["-p", world.model, "--image-size", 32, *world.common, "--json", folder / "json"]
    found = world.execute("eval_retrieval", options, folder / "log")
    violations, results = found.violations(), results_of(folder, found)
    if rows is not None and results is not None:
        read = read_caption_file(str(file), str(world.photographs), ("train", "val", "test"))
        captions = sum(len(image.captions) for image in read)
        violations += compare(rows, captions=captions, named=results["annotations_left_out"])
    return Result(MANY, violations)


def annotations(world: World, folder: Path, chance: random.Random) -> Result:
    shutil.copytree(world.root, folder / "root", symlinks=True)
    files = sorted((folder / "root" / "toy").rglob("*.json"))
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(bad_files.odd_json(content, 5, chance)), encoding="utf-8")
    found = []
    for script in EVALUATIONS:
        outcome, _ = evaluation(world, script, folder / "root", folder)
        found += [f"{script}: {violation}" for violation in outcome.violations()]
    return Result(5 * len(files), found)


def photographs(world: World, folder: Path, chance: random.Random) -> Result:
    """Score a toy set some of whose photographs are broken or gone: all are used or named."""
    shutil.copytree(world.root, folder / "root")
    files = sorted((folder / "root" / "toy").rglob("*.jpg"))
    chosen = chance.sample(files, len(files) // 4)
    for file in chosen:
        file.write_bytes(bad_files.mutated(file.read_bytes(), chance))
    found = []
    for script in EVALUATIONS:
        outcome, counts = evaluation(world, script, folder / "root", folder)
        violations = outcome.violations()
        if counts is not None:
            violations += compare(world.counts[script], used=counts[0], named=counts[1])
        found += [f"{script}: {violation}" for violation in violations]
    return Result(len(chosen), found)


def tars(world: World, folder: Path, chance: random.Random) -> Result:
    whole = bad_files.odd_tar(folder / "odd.tar", MANY, chance)
    options = ["-p", world.model, "-d", folder / "odd.tar", "-o", folder / "rows"]
    options += ["--image-size", 32, *world.common]
    found = world.execute("image_features_extraction", options, folder / "log")
    missing = lost(folder / "rows", MANY, found) if whole else []
    return Result(MANY, found.violations() + missing)


def embeddings(world: World, folder: Path, chance: random.Random) -> Result:
    found = []
    for number in range(5):
        source = chance.choice(world.embeddings)
        file = folder / f"{number}{source.suffix}"
        file.write_bytes(bad_files.mutated(source.read_bytes(), chance))
        if source.suffix == ".npy":
            shutil.copy(*(path.with_suffix(".names.txt") for path in (source, file)))
        options = ["-p", world.model, "-f", file, *world.common, "--json", folder / "json"]
        options += ["--top", 5, "--", bad_files.odd_text(chance).replace("\0", "")]
        outcome = world.execute("search", options, folder / "log")
        found += outcome.violations()
        results = results_of(folder, outcome)
        if results is not None:
            rows = len(load_embeddings(file)[0])
            found += compare(min(5, rows), found=len(results["queries"][0]["found"]))
    return Result(5, found)


def word_vectors(world: World, folder: Path, chance: random.Random) -> Result:
    found = []
    for number in range(5):
        numbers = np.random.default_rng(number).standard_normal((20, 50)).round(3)
        lines = [f"w{place} {' '.join(map(str, row))}" for place, row in enumerate(numbers)]
        file = folder / f"{number}{chance.choice(('.txt', '.bin', '.vec', '.txt.gz'))}"
        file.write_bytes(bad_files.mutated("\n".join(lines).encode(), chance))
        options = ["convert", file, folder / f"to{number}"]
        outcome = world.execute("misc.words.__main__", options, folder / "log")
        found += outcome.violations()
    return Result(5, found)


def checkpoints(world: World, folder: Path, chance: random.Random) -> Result:
    found = []
    for number in range(5):
        file = folder / f"{number}.pt"
        file.write_bytes(bad_files.mutated(world.model.read_bytes(), chance))
        outcome = world.execute("misc.checkpoints.__main__", ["info", file], folder / "log")
        found += outcome.violations()
    return Result(5, found)


def kills(world: World, folder: Path, chance: random.Random) -> Result:
    """Kill an extraction into parts, then give the same command: all items are there."""
    data, output = folder / "data", folder / "rows"
    data.mkdir()
    for number in range(MANY):
        bad_files.odd_image(data, number, chance)
    for file in list(world.photographs.iterdir())[:8]:
        shutil.copy(file, data)
    expected = sum(is_image(file) for file in data.iterdir())
    options = ["-p", world.model, "-d", data, "-o", output, "--shard-size", 5, "-bs", 2]
    options += ["--image-size", 32, *world.common]
    number = chance.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGINT))
    script, log = "image_features_extraction", folder / "log"
    violations = world.execute(script, options, log, 0.5 * chance.random(), number).violations(
        killed=True
    )
    again = world.execute(script, options, log)
    return Result(1, violations + again.violations() + lost(output, expected, again))


def stopped_training(world: World, folder: Path, chance: random.Random) -> Result:
    """Kill a training on odd captions, then resume it."""
    names = [file.name for file in world.photographs.iterdir()]
    file = folder / "captions.jsonl"
    file.write_bytes(bad_files.odd_table(".jsonl", names, 200, chance)[0])
    options: list[object] = ["--preset", "toy", "--dataset", "captions", "--captions", file]
    options += ["--images", world.photographs, "--runs", folder, "-n", "run", "--resume"]
    options += [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    options += ["--checkpoint-every", 0.001, *world.common]
    number = chance.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGINT))
    first = world.execute("train", options, folder / "log", 3 * chance.random(), number)
    again = world.execute("train", options, folder / "log")
    violations = first.violations(killed=True) + again.violations()
    if not again.status:
        logged = (folder / "run" / "log.jsonl").read_text().splitlines()
        violations += compare(EPOCHS, epochs=len(logged))
    return Result(201, violations)


TRIALS: dict[str, Trial] = {
    trial.__name__: trial
    for trial in (
        images, phrases, texts, tables, annotations, photographs, tars, embeddings, word_vectors,
        checkpoints, kills, stopped_training,
    )
}  # fmt: skip
