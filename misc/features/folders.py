"""What a folder of parts is of: its plan, and the manifest of what is whole."""

import json
import re
from pathlib import Path
from typing import Any

from misc.features.writing import MANIFEST
from misc.runtime.distributed import gather_objects, is_main
from misc.runtime.failures import Failure, read_item
from misc.runtime.files import replacing

PLAN = "plan.json"
OURS = re.compile(r"part-\d{5,}\.parquet(\.errors\.jsonl)?|plan\.json|manifest\.json")


def write_object(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def enter(folder: Path, plan: dict[str, Any], force: bool) -> dict[str, str]:
    """Settle on the plan of a folder, with all processes, and return known checksums of its parts.

    Args:
        folder: made if need be.
        plan: what decides about the rows; see ``misc.features.plans``.
        force: True begins a folder of another plan again, removing what is ours in it.

    Raises:
        ValueError: if the folder is of another plan, or has files that are called as ours.
    """
    known: dict[str, str] = {}
    if is_main():
        folder.mkdir(parents=True, exist_ok=True)
        ours = sorted(file for file in folder.iterdir() if OURS.fullmatch(file.name))
        if ours and not _is_plan(_read_json(folder / PLAN)):
            raise ValueError(
                f"{folder} has {ours[0].name}, but no {PLAN} of this command, so it may be "
                "somebody else's; name another folder"
            )
        if force:
            for file in ours:  # the plan last, by which they are known as ours
                file.unlink()
        if not (folder / PLAN).exists():
            write_object(folder / PLAN, plan)
        known = {entry["file"]: entry["sha256"] for entry in manifest_entries(folder)}
    known = gather_objects(known)[0]  # the others wait
    found = _read_json(folder / PLAN) or {}
    others = [f"{key} {found.get(key)!r} instead of {plan[key]!r}" for key in plan
              if found.get(key) != plan[key]]  # fmt: skip
    if others:
        raise ValueError(
            f"{folder} holds parts of something else ({'; '.join(others)}); name another folder, "
            "or --force to begin it again"
        )
    return known


def _is_plan(found: dict[str, Any] | None) -> bool:
    return found is not None and {"model", "dtype", "shard_size"} <= found.keys()


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read an object; ``None`` if there is none, or something else."""
    read = read_item(0, str(path), lambda: dict(json.loads(path.read_text(encoding="utf-8"))))
    return None if isinstance(read, Failure) else read


def manifest_entries(folder: Path) -> list[dict[str, Any]]:
    """Read what the manifest says of each part; nothing if it is missing or something else."""
    entries = (_read_json(folder / MANIFEST) or {}).get("parts")
    if not isinstance(entries, list):
        return []
    needed = {"file", "rows", "sha256"}
    whole = all(isinstance(entry, dict) and needed <= entry.keys() for entry in entries)
    return entries if whole else []
