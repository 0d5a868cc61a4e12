"""What all trials start from, and how they compare items in with items used and items named."""

import collections
import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from misc.features import load_embeddings
from tests.soak.commands import Outcome, execute

EVALUATIONS: dict[str, list[object]] = {  # and their options
    "eval_retrieval": [], "pointing_game": ["-k", 5], "semantic_seg": ["-k", 5],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class World:
    """What all trials start from: a toy set, a model of it and embeddings by it."""

    root: Path
    model: Path
    embeddings: list[Path]  # in several formats

    counts: dict[str, int] = dataclasses.field(default_factory=dict)  # of images, by evaluation
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


def results_of(folder: Path, outcome: Outcome) -> Any:
    """Read what a run wrote as JSON; ``None`` if it came to no end."""
    return json.loads((folder / "json").read_text()) if outcome.status in (0, 3) else None


def compare(expected: int, **found: int) -> list[str]:
    """Compare items in with items used and items named."""
    counts = ", ".join(f"{count} {what}" for what, count in found.items())
    return [] if sum(found.values()) == expected else [f"{expected} items in, {counts}"]


def evaluation(
    world: World, script: str, root: Path, folder: Path
) -> tuple[Outcome, tuple[int, int] | None]:
    """Score a toy set; also give how many images were used, and how many left out."""
    options = ["-p", world.model, "--dataset", "toy", "--image-size", 32, *world.common]
    options += ["--data-root", root, "--json", folder / "json", *EVALUATIONS[script]]
    outcome = world.execute(script, options, folder / "log")
    results = results_of(folder, outcome)
    if results is None:
        return outcome, None
    left_out = results.get("images_left_out", [])
    left_out = left_out if isinstance(left_out, int) else len(left_out)
    left_out += len(results.get("missing_images", []) + results.get("unreadable_images", []))
    return outcome, (results["images"], left_out)
