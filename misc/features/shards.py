"""Folders of embeddings in parts, written by any number of processes and completed by a later run.

A folder holds ``part-00000.parquet`` …, each with ``.errors.jsonl`` beside it if something was left
out, ``plan.json`` (what the parts are of) and, once all are whole, ``manifest.json``.
"""

import argparse
import dataclasses
import datetime
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow
import pyarrow.parquet

from misc.cli import write_json
from misc.features.extraction import NamedBatch, append, errors_file, write_errors
from misc.features.writing import MANIFEST, writing
from misc.runtime.distributed import gather_lists, gather_objects, is_main, rank, world_size
from misc.runtime.files import replacing

logger = logging.getLogger(__name__)

PLAN = "plan.json"
OURS = re.compile(
    r"part-\d{5,}\.parquet(\.errors\.jsonl)?|plan\.json|manifest\.json"
)  # in a folder
PATIENCE = datetime.timedelta(days=30)  # of a process whose parts are done, with the others
Source = TypeVar("Source")


@dataclasses.dataclass(frozen=True)
class Part(Generic[Source]):
    """One file of a folder, and what its embeddings are of."""

    file: Path
    source: Source
    state: str  # of the inputs, which changes when they do; kept in the file
    items: int | None = None  # how many it will have been asked for; None if nobody knows yet


def parts_of(
    folder: Path, count: int, shard_size: int, state: Callable[[range], str]
) -> list[Part[range]]:
    """Divide items into parts; the source of each is the range of its items.

    Args:
        folder: of the parts.
        count: how many items there are.
        shard_size: items of a part.
        state: describes some of the inputs by what changes when they do.
    """
    ranges = [range(start, min(start + shard_size, count)) for start in range(0, count, shard_size)]
    return [Part(part_file(folder, n), r, state(r), len(r)) for n, r in enumerate(ranges)]


def part_file(folder: Path, number: int) -> Path:
    """Name a part by its number."""
    return folder / f"part-{number:05}.parquet"


def extract_parts(
    args: argparse.Namespace,
    plan: dict[str, Any],
    parts: Sequence[Part[Source]],
    embed: Callable[[Source], Iterable[NamedBatch]],
    dimension: int,
) -> dict[str, Any]:
    """Write the parts that are not whole yet, each process its own, and then the manifest.

    Args:
        args: what ``output_options`` and ``common_options`` gave; ``args.output`` is the folder.
        plan: what a later run must agree in, to complete the folder.
        parts: all of them.
        embed: embeds what a part is of.
        dimension: D of the embeddings.

    Returns:
        The numbers of ``rows``, of items ``left_out``, and of ``parts``, and the folder.

    Raises:
        ValueError: if the folder is of another plan, or, when all others are made, if a part could
            not be: a tar cannot be read, or an item not embedded and ``--strict`` is set.
    """
    entries = _make_parts(args, _enter(args.output, plan, args.force), parts, embed, dimension)
    totals = {key: sum(entry[key] for entry in entries) for key in ("rows", "left_out")}
    results = {"output": str(args.output), "dimension": dimension, "parts": len(parts), **totals}
    if is_main():
        _write_json(args.output / MANIFEST, {**plan, **totals, "parts": entries})
        write_json(results, args.json)
        left_out = f"; {totals['left_out']} left out, see *.errors.jsonl"
        print(  # noqa: T201
            f"{totals['rows']} embeddings of {dimension} dimensions are in {len(parts)} parts in "
            f"{args.output}" + (left_out if totals["left_out"] else "")
        )
    return results


def _make_parts(
    args: argparse.Namespace,
    known: dict[str, str],
    parts: Sequence[Part[Source]],
    embed: Callable[[Source], Iterable[NamedBatch]],
    dimension: int,
) -> list[dict[str, Any]]:
    """Write this process's parts, but for those whose checksum is known; describe those of all."""
    entries: list[dict[str, Any]] = []
    broken: list[str] = []
    for part in parts[rank() :: world_size()]:
        entry = _entry(part)
        if entry is None or entry["sha256"] != known.get(part.file.name, entry["sha256"]):
            try:
                _write(part, embed(part.source), dimension, args)
            except ValueError as error:  # the other parts are worth having
                logger.error("%s: %s", part.file.name, error)
                broken.append(str(error))
                continue
            entry = _entry(part)
        assert entry is not None
        entries.append(entry)
    broken = gather_lists(broken)
    if broken:
        raise ValueError(
            f"{len(broken)} of {len(parts)} parts could not be made: {broken[0]}; the same command "
            "again makes what is missing"
        )
    return sorted(gather_lists(entries), key=lambda entry: entry["file"])


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _enter(folder: Path, plan: dict[str, Any], force: bool) -> dict[str, str]:
    """Settle on the plan, clear up after killed processes, and return known checksums."""
    if is_main():
        folder.mkdir(parents=True, exist_ok=True)
        if force and (folder / PLAN).exists():
            for file in folder.iterdir():
                if OURS.fullmatch(file.name):
                    file.unlink()
        if not (folder / PLAN).exists():
            _write_json(folder / PLAN, plan)
    gather_objects(None)  # the others wait
    found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    others = [f"{key} {found.get(key)!r} instead of {plan[key]!r}" for key in plan
              if found.get(key) != plan[key]]  # fmt: skip
    if others:
        raise ValueError(
            f"{folder} holds parts of something else ({'; '.join(others)}); name another folder, "
            "or --force to begin it again"
        )
    if not (folder / MANIFEST).exists():
        return {}
    parts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["parts"]
    return {part["file"]: part["sha256"] for part in parts}


def _write(
    part: Part[Any], batches: Iterable[NamedBatch], dimension: int, args: argparse.Namespace
) -> None:
    failures = []
    with writing(part.file, dimension, args.dtype, force=True) as writer:
        for batch in batches:
            failed = append(writer, batch)
            if failed and args.strict:
                raise ValueError(failed[0].reason)
            failures += failed
        write_errors(part.file, failures)  # before the part is there: a whole part has its list
        writer.about["state"] = part.state


def _entry(part: Part[Any]) -> dict[str, Any] | None:
    """Describe a part for the manifest; ``None`` if it is not there or not whole."""
    errors = errors_file(part.file)
    try:
        metadata = pyarrow.parquet.read_metadata(part.file)
    except (OSError, pyarrow.ArrowInvalid):
        return None
    rows, state = metadata.num_rows, (metadata.metadata or {}).get(b"state", b"").decode()
    if part.state not in ("", state):
        return None
    left_out = len(errors.read_text(encoding="utf-8").splitlines()) if errors.exists() else 0
    if part.items not in (None, rows + left_out):
        return None
    with part.file.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": part.file.name, "rows": rows, "left_out": left_out, "sha256": checksum}


def verify(folder: Path) -> dict[str, Any]:
    """Compare the parts of a folder with its manifest.

    Raises:
        FileNotFoundError: if there is no manifest: the extraction has not ended.
        ValueError: if parts are missing, cut off or changed; each is named.
    """
    file = folder / MANIFEST
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: the extraction has not ended; run it again")
    manifest = json.loads(file.read_text(encoding="utf-8"))
    bad = []
    for entry in manifest["parts"]:
        path = folder / entry["file"]
        if not path.exists():
            bad.append(f"{entry['file']} is missing")
        elif _entry(Part(path, None, "")) != entry:
            bad.append(f"{entry['file']} is not what was written")
    if bad:
        raise ValueError(f"{folder}: {'; '.join(bad)}; the same extraction again makes them anew")
    print(f"{folder}: {len(manifest['parts'])} parts with {manifest['rows']} rows are whole")  # noqa: T201
    return {"output": str(folder), "parts": len(manifest["parts"]), "rows": manifest["rows"]}
