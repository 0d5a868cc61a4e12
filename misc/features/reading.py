"""Files of embeddings: names and rows, read without running anything in them."""

import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import torch
from torch import Tensor

from misc.features.writing import MANIFEST, names_file
from misc.runtime.failures import Failure, read_item

BLOCK = 8192  # rows that are looked at at once


def load_embeddings(path: Path | str) -> tuple[list[str], Tensor]:
    """Read a file of embeddings, or a folder of parts: names and rows (N, D) as float32.

    Raises:
        FileNotFoundError: if it, or the names beside a ``.npy``, are missing.
        ValueError: if it is no file of embeddings, or a number is not finite; ``.pkl`` is not
            read, as it could run code.
    """
    path = Path(path)
    if path.is_dir():
        return _read_parts(path)
    if path.suffix not in READERS:
        remedy = PICKLE_REMEDY % path if path.suffix == ".pkl" else ""
        raise ValueError(f"{path}: embeddings are read from {', '.join(READERS)} only{remedy}")
    for needed in (path, names_file(path)) if path.suffix == ".npy" else (path,):
        if not needed.is_file():
            raise FileNotFoundError(f"no embeddings at {needed}")
    # Whatever numpy, zipfile or pyarrow raise of bytes that mean nothing to them.
    read = read_item(0, str(path), functools.partial(READERS[path.suffix], path))
    if isinstance(read, Failure):
        reason = " ".join(read.reason.removeprefix(f"{path}: ").split())
        raise ValueError(f"{path} is no file of embeddings: {reason}")
    names, rows = read
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"{path} has embeddings of {rows.dtype}, which are no real numbers")
    if rows.ndim != 2 or len(names) != len(rows):
        raise ValueError(f"{path} has {len(names)} names, but embeddings of shape {rows.shape}")
    embeddings = torch.from_numpy(np.require(rows, np.float32, "W"))
    _check_finite(path, names, embeddings)
    return list(map(str, names)), embeddings


def _check_finite(path: Path, names: Sequence[str], embeddings: Tensor) -> None:
    for start, block in enumerate(embeddings.split(BLOCK)):
        bad = (~block.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if bad:
            row = start * BLOCK + bad[0]
            raise ValueError(f"{path}: row {row}, {names[row]!r}, has numbers that are not finite")


def _read_parts(folder: Path) -> tuple[list[str], Tensor]:
    """Read the parts that ``misc.features.shards`` wrote, in their order."""
    if not (folder / MANIFEST).exists():
        raise ValueError(
            f"{folder} has no {MANIFEST}: it is no folder of embeddings, or its extraction has not "
            "ended; run that again"
        )
    manifest = folder / MANIFEST
    listed = read_item(0, str(manifest), functools.partial(_read_manifest, manifest))
    if isinstance(listed, Failure):
        raise ValueError(
            f"{manifest} is no list of parts: {listed.reason.removeprefix(f'{manifest}: ')}"
        )
    dimension, parts = listed
    names: list[str] = []
    embeddings = torch.empty(sum(parts.values()), dimension)
    for file, count in parts.items():
        part_names, rows = load_embeddings(folder / file)
        if tuple(rows.shape) != (count, dimension):
            raise ValueError(
                f"{folder / file} has embeddings of shape {tuple(rows.shape)}, and {MANIFEST} says "
                f"{(count, dimension)}"
            )
        embeddings[len(names) : len(names) + len(rows)] = rows
        names += part_names
    return names, embeddings


def _read_manifest(file: Path) -> tuple[int, dict[str, int]]:
    """Read the dimension, and the number of rows of each part."""
    manifest = json.loads(file.read_text(encoding="utf-8"))
    parts = {str(part["file"]): int(part["rows"]) for part in manifest["parts"]}
    return int(manifest["dimension"]), parts


PICKLE_REMEDY = """, as a .pkl could run code; this rewrites one that you trust: \
python -c "import pickle, torch; from misc.features import save_embeddings as save; \
names, rows = pickle.load(open('%s', 'rb')); save('features.npz', names, torch.tensor(rows))\""""


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        if "names_utf8" not in arrays:
            return arrays["names"].ravel().tolist(), arrays["embeddings"]
        text, ends = arrays["names_utf8"].tobytes(), [0, *arrays["names_ends"].tolist()]  # long
        if ends != sorted(ends) or ends[-1] != len(text):
            raise ValueError("names_ends do not divide names_utf8")
        pieces = (text[start:end] for start, end in itertools.pairwise(ends))
        names = [piece.decode("utf-8", errors="surrogatepass") for piece in pieces]
        return names, arrays["embeddings"]


def _read_npy(path: Path) -> tuple[list[str], np.ndarray]:
    with names_file(path).open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        names = [line.removesuffix("\n") for line in file]
    return names, np.load(path, allow_pickle=False)


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open("rb") as file:  # which may have a name that is no UTF-8
        table = pyarrow.parquet.read_table(file)
    if table["name"].null_count:
        raise ValueError(f"row {table['name'].to_pylist().index(None)} has no name")
    column = table["embedding"].combine_chunks()  # lists, of a fixed size or not
    lengths = set(pyarrow.compute.list_value_length(column).to_pylist())
    if len(lengths) > 1 or None in lengths:
        raise ValueError(f"its embeddings are not all of one length, but of {lengths}")
    if pyarrow.types.is_fixed_size_list(column.type):
        lengths = {column.type.list_size}  # known without a row, too
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    return table["name"].to_pylist(), numbers.reshape(len(table), max(lengths, default=0))


READERS = {".npz": _read_npz, ".npy": _read_npy, ".parquet": _read_parquet}
