"""How every script runs, reports and ends."""

import argparse
import io
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from misc.runtime.files import replacing
from misc.runtime.memory import keep_freed_memory

if TYPE_CHECKING:
    import torch

LEFT_OUT_STATUS = 3  # exit status when all went well, but for items that had to be left out
# What results call these: their names, or how many.
LEFT_OUT = (
    "left_out", "annotations_left_out", "images_left_out", "unreadable_images", "missing_images",
)  # fmt: skip

logger = logging.getLogger(__name__)


class Evaluated(NamedTuple):
    """What an evaluation gives."""

    results: dict[str, Any]
    table: str  # for the eye
    save: Callable[[], None] | None = None  # writes further files, if any are asked for


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Run a script: a user's mistake ends it with one clear line, not with a traceback.

    Results that say that something was left out make the exit status ``LEFT_OUT_STATUS``.
    """
    for stream in (sys.stdout, sys.stderr):  # names that the terminal cannot show are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    configure_logging()
    keep_freed_memory()
    args = parser.parse_args()
    try:
        results = main(args)
    except (OSError, ValueError, FloatingPointError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{parser.prog}: interrupted")
    # torchrun takes any status but 0 for a failure, and starts all over.
    left_out = isinstance(results, dict) and any(map(results.get, LEFT_OUT))
    if left_out and not _under_torchrun():
        sys.exit(LEFT_OUT_STATUS)


def _under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def evaluate_and_report(
    args: argparse.Namespace,
    evaluate: "Callable[[argparse.Namespace, torch.device], Evaluated]",
) -> dict[str, Any]:
    """Evaluate with all processes; the main one prints the table, then writes files.

    Args:
        args: what ``common_options`` gave, and whatever ``evaluate`` needs.
        evaluate: computes the results, and lays them out as a table.

    Returns:
        The results.
    """
    from misc.runtime.device import select_device
    from misc.runtime.distributed import is_main, process_group

    with process_group(select_device(args.device)) as device:
        results, table, save = evaluate(args, device)
        if is_main():
            print(table)  # noqa: T201
            if results["annotations_left_out"]:
                print(f"annotations left out, see the log: {results['annotations_left_out']}")  # noqa: T201
            write_json(results, args.json)
            if save:
                save()
    return results


def write_json(results: dict[str, Any], path: Path | None) -> None:
    """Write results to a file as JSON, if a path was given; NaN, which JSON lacks, as null."""
    if path is not None:
        valid = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in results.items()
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(valid, indent=2) + "\n", encoding="utf-8")


def configure_logging() -> None:
    """Send progress to stderr, a time before each line; stdout is for results.

    Of the processes that ``torchrun`` starts, those after the first send warnings only, with their
    number.
    """
    rank = int(os.environ.get("RANK", "0"))
    logging.basicConfig(
        level=logging.WARNING if rank else logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s {f'[{rank}] ' if rank else ''}%(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it is loaded


def listed(ids: Sequence[object]) -> str:
    """Say how many there are, and which: the first ten of them."""
    return f"{len(ids)} ({', '.join(map(str, ids[:10]))}{', …' if len(ids) > 10 else ''})"
