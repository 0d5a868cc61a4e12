"""Folders of embeddings in parts, written by any number of processes and completed by a later run.

A folder holds ``part-00000.parquet`` …, each with ``.errors.jsonl`` beside it if something was left
out, ``plan.json`` (what the parts are of) and, once all are whole, ``manifest.json``.
"""

import argparse
import dataclasses
import datetime
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow.parquet

from misc.cli import write_json
from misc.features.extraction import NamedBatch, append, errors_file, write_errors
from misc.features.folders import enter, manifest_entries, write_object
from misc.features.writing import MANIFEST, writing
from misc.runtime.distributed import gather_lists, is_main, rank, world_size
from misc.runtime.failures import Failure, read_item
from misc.runtime.files import check_space

logger = logging.getLogger(__name__)

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
        ValueError: if the folder is of another plan or not ours, or, when all others are made, if
            a part could not be: a tar cannot be read, or an item not embedded and ``--strict`` is
            set.
        FullDiskError: if there is no space for the parts that are missing.
    """
    known = enter(args.output, plan, args.force)
    missing = sum(part.items or 0 for part in parts if not part.file.exists())
    check_space(args.output, args.output, missing * dimension * np.dtype(args.dtype).itemsize)
    entries = _make_parts(args, known, parts, embed, dimension)
    totals = {key: sum(entry[key] for entry in entries) for key in ("rows", "left_out")}
    results = {"output": str(args.output), "dimension": dimension, "parts": len(parts), **totals}
    if is_main():
        write_object(args.output / MANIFEST, {**plan, **totals, "parts": entries})
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
            (args.output / MANIFEST).unlink(missing_ok=True)  # until all parts are whole again
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


def _write(
    part: Part[Any], batches: Iterable[NamedBatch], dimension: int, args: argparse.Namespace
) -> None:
    failures = []
    with writing(part.file, dimension, args.dtype, True, part.items or 0) as writer:
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
    read = read_item(0, part.file.name, lambda: _rows_and_state(part.file))
    if isinstance(read, Failure):
        return None
    rows, state = read
    if part.state not in ("", state):
        return None
    left_out = len(errors.read_text(encoding="utf-8").splitlines()) if errors.exists() else 0
    if part.items not in (None, rows + left_out):
        return None
    with part.file.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": part.file.name, "rows": rows, "left_out": left_out, "sha256": checksum}


def _rows_and_state(file: Path) -> tuple[int, str]:
    with file.open("rb") as opened:
        metadata = pyarrow.parquet.read_metadata(opened)
    return metadata.num_rows, (metadata.metadata or {}).get(b"state", b"").decode()


def verify(folder: Path) -> dict[str, Any]:
    """Compare the parts of a folder with its manifest.

    Raises:
        FileNotFoundError: if there is no manifest: the extraction has not ended.
        ValueError: if parts are missing, cut off or changed; each is named.
    """
    file = folder / MANIFEST
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: the extraction has not ended; run it again")
    entries = manifest_entries(folder)
    if not entries:
        raise ValueError(f"{file} lists no parts; the same extraction again makes it anew")
    bad = []
    for entry in entries:
        path = folder / entry["file"]
        if not path.exists():
            bad.append(f"{entry['file']} is missing")
        elif _entry(Part(path, None, "")) != entry:
            bad.append(f"{entry['file']} is not what was written")
    if bad:
        raise ValueError(f"{folder}: {'; '.join(bad)}; the same extraction again makes them anew")
    rows = sum(entry["rows"] for entry in entries)
    print(f"{folder}: {len(entries)} parts with {rows} rows are whole")  # noqa: T201
    return {"output": str(folder), "parts": len(entries), "rows": rows}
