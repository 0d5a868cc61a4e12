"""JSON files of other people: read whole, or streamed part by part."""

import contextlib
import decimal
import itertools
import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from misc.runtime.failures import reason_of


def read_json(path: Path, remedy: str = "download it again") -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        ValueError: if it is empty, cut off or no JSON; the message names it, and the remedy.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {remedy}") from error


def stream_json(path: Path, prefix: str) -> Iterator[Any]:
    """Read the parts of a JSON file one after the other, without keeping them.

    Args:
        path: the file.
        prefix: which parts, as in ``ijson``: "images.item" are those of the list "images".

    Raises:
        ValueError: if it is empty, cut off or no JSON; the message names it.
    """
    given = 0
    for quick in (True, False):  # the quick way ends at a number that no machine word holds
        try:
            with path.open("rb") as file:
                parts = ijson.items(file, prefix, use_float=quick)
                for part in itertools.islice(parts, given, None):
                    given += 1
                    yield part if quick else _with_floats(part)
                return
        except (ijson.JSONError, UnicodeDecodeError) as error:  # the latter of half a character
            reason = str(error).partition("\n")[0]
            if not (quick and "overflow" in reason):
                raise ValueError(
                    f"{path} is not valid JSON ({reason}); download it again"
                ) from error


def scan_json(path: Path, key: str) -> Iterator[str]:
    """Find what follows a key, at any depth, as fast as a file is read: it is not parsed.

    Yields:
        Texts without escapes, and whole numbers, as they are written; "" of all else.

    Raises:
        ValueError: if it is empty or cut off; the message names it.
    """
    pattern = re.compile(rb'"%s"\s*:\s*(?:"([^"\\]*)"|(-?\d+)|)' % key.encode())
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; download it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not content[-100:].rstrip().endswith((b"}", b"]")):
            raise ValueError(f"{path} is cut off; download it again")
        for match in pattern.finditer(content):
            yield (match[1] or match[2] or b"").decode(errors="replace")


def _with_floats(part: Any) -> Any:  # noqa: ANN401
    if isinstance(part, dict):
        return {key: _with_floats(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_with_floats(value) for value in part]
    return float(part) if isinstance(part, decimal.Decimal) else part


@contextlib.contextmanager
def format_of(file: Path, name: str) -> Iterator[None]:
    """Say of what does not fit in a file that the file is not in the format of that name.

    Raises:
        ValueError: instead of what looking for keys in something else raises.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not in the format of {name}: {reason_of(error)}") from error
