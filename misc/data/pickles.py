"""Pickles of other people: lists, dictionaries, texts and numbers, read without running anything.

A pickle is a program. What it can do to a machine begins with a name that it asks for, of a class
or a function, so all of them are refused.
"""

import io
import pickle
from pathlib import Path

from misc.runtime.failures import Failure, read_item


# The unpickler in C makes room for as many values as a file says that it has: up to 32 GB.
class _PlainUnpickler(pickle._Unpickler):
    refused = ""

    def find_class(self, module: str, name: str) -> None:
        self.refused = f"{module}.{name}"
        raise ValueError(self.refused)


def read_pickle(path: Path) -> object:
    """Read a pickle of plain values, of Python 2 or 3.

    Texts of Python 2 are bytes, and are read as UTF-8; those that are not are found by
    ``misc.data.entries.decoded``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it asks for a class or a function, is cut off or no pickle.
    """
    content = io.BytesIO(path.read_bytes())
    unpickler = _PlainUnpickler(content, encoding="utf-8", errors="surrogateescape")
    values = read_item(0, "", unpickler.load)
    if not isinstance(values, Failure):
        return values
    if unpickler.refused:
        raise ValueError(
            f"{path} is refused: it asks for {unpickler.refused!r:.80}, which plain values do not "
            "need, and which could run anything; download it again"
        )
    raise ValueError(f"{path} is cut off, or no pickle ({values.reason:.80}); download it again")
