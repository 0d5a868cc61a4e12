"""JSON files of other people: read whole, or streamed part by part."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson


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
    try:
        with path.open("rb") as file:
            yield from ijson.items(file, prefix, use_float=True)
    except ijson.JSONError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again") from error


@contextlib.contextmanager
def format_of(file: Path, name: str) -> Iterator[None]:
    """Say of what does not fit in a file that the file is not in the format of that name.

    Raises:
        ValueError: instead of what looking for keys in something else raises.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not in the format of {name}: {error!r}") from error
