"""Trials: a script, many odd inputs at once, and what must be true afterwards."""

import collections
import dataclasses
import json
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from misc.data.image_files import is_image
from misc.features import load_embeddings
from tests.soak import bad_files
from tests.soak.commands import Outcome, execute

SMALL = {
    "backbone": "resnet18", "stages": 2, "embedding-dim": 16, "pool-k": 2, "crop-size": 32,
    "image-size": 32, "precision": "float32", "batch-size": 4, "epochs": 2,
}  # fmt: skip
MANY = 40  # odd inputs of a command


@dataclasses.dataclass(frozen=True)
class World:
    """What all trials start from: a toy set, a model of it and embeddings by it."""

    root: Path
    model: Path
    embeddings: Path

    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def execute(
        self, script: str, options: Sequence[object], log: Path, after: float = 0, number: int = 0
    ) -> Outcome:
        """Run a script as ``commands.execute`` does, and count how it ended."""
        outcome = execute(script, options, log, after, number)
        self.statuses[f"{script} {outcome.status}"] += 1
        return outcome

    @property
    def common(self) -> list[object]:
        return ["--data-root", self.root, "--workers", 0, "--device", "cpu"]

    @property
    def photographs(self) -> Path:
        return self.root / "toy" / "coco" / "images" / "val2014"


@dataclasses.dataclass
class Result:
    """How many bad inputs there were, and what should not have happened."""

    inputs: int
    violations: list[str]


Trial = Callable[[World, Path, random.Random], Result]


def named_errors(output: Path) -> int:
    """Count the items that are listed as left out of an output, or of the parts of a folder."""
    files = output.glob("*.errors.jsonl") if output.is_dir() else [Path(f"{output}.errors.jsonl")]
    return sum(len(file.read_bytes().splitlines()) for file in files if file.exists())


def lost(output: Path, expected: int, outcome: Outcome) -> list[str]:
    """Compare items in with rows out and items named, after a run that came to its end."""
    if outcome.status not in (0, 3):
        return []
    rows, named = len(load_embeddings(output)[0]), named_errors(output)
    same = rows + named == expected
    return [] if same else [f"{expected} items in, {rows} rows out, {named} named"]


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
    options += ["--image-size", 32, *world.common, "--boxes", "--npz", "-t", "a dog", *texts]
    return Result(20, world.execute("localize", options, folder / "log").violations())


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
    file.write_bytes(bad_files.odd_table(file.suffix, names, MANY, chance))
    options = ["--dataset", "captions", "--captions", file, "--images", world.photographs]
    options += ["-p", world.model, "--image-size", 32, *world.common]
    return Result(MANY, world.execute("eval_retrieval", options, folder / "log").violations())


def annotations(world: World, folder: Path, chance: random.Random) -> Result:
    shutil.copytree(world.root, folder / "root", symlinks=True)
    files = sorted((folder / "root" / "toy").rglob("*.json"))
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(bad_files.odd_json(content, 5, chance)), encoding="utf-8")
    found = []
    for script in ("eval_retrieval", "pointing_game", "semantic_seg"):
        options = ["-p", world.model, "--dataset", "toy", "--image-size", 32]
        options += [] if script == "eval_retrieval" else ["-k", 5]
        options += [*world.common, "--data-root", folder / "root"]
        outcome = world.execute(script, options, folder / "log")
        found += [f"{script}: {violation}" for violation in outcome.violations()]
    return Result(5 * len(files), found)


def tars(world: World, folder: Path, chance: random.Random) -> Result:
    bad_files.odd_tar(folder / "odd.tar", MANY, chance)
    options = ["-p", world.model, "-d", folder / "odd.tar", "-o", folder / "rows"]
    options += ["--image-size", 32, *world.common]
    found = world.execute("image_features_extraction", options, folder / "log")
    return Result(MANY, found.violations())


def embeddings(world: World, folder: Path, chance: random.Random) -> Result:
    found = []
    for number in range(5):
        file = folder / f"{number}.npz"
        file.write_bytes(bad_files.mutated(world.embeddings.read_bytes(), chance))
        options = ["-p", world.model, "-f", file, bad_files.odd_text(chance).replace("\0", "")]
        found += world.execute("search", [*options, *world.common], folder / "log").violations()
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
    file.write_bytes(bad_files.odd_table(".jsonl", names, 200, chance))
    options: list[object] = ["--preset", "toy", "--dataset", "captions", "--captions", file]
    options += ["--images", world.photographs, "--runs", folder, "-n", "run", "--resume"]
    options += [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    options += ["--checkpoint-every", 0.001, *world.common]
    number = chance.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGINT))
    first = world.execute("train", options, folder / "log", 3 * chance.random(), number)
    again = world.execute("train", options, folder / "log")
    return Result(201, first.violations(killed=True) + again.violations())


TRIALS: dict[str, Trial] = {
    trial.__name__: trial
    for trial in (
        images, phrases, texts, tables, annotations, tars, embeddings, word_vectors, checkpoints,
        kills, stopped_training,
    )
}  # fmt: skip
