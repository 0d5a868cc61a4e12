"""Files of embeddings: names and rows that correspond, written row by row.

By suffix: ``.npz`` (arrays ``names`` and ``embeddings``), ``.npy`` (with ``.names.txt`` beside
it), ``.parquet`` (columns ``name`` and ``embedding``) and ``.pkl`` (a tuple of a list of names
and an array, as the code of 2018 wrote it; the only one whose writing takes memory for all rows).
"""

import contextlib
import logging
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow
import pyarrow.parquet
from torch import Tensor

from misc.runtime.files import replacing

DTYPES = ("float32", "float16")
MANIFEST = "manifest.json"  # of a folder of parts
CHUNK = 1024  # rows or names in memory at once
UNFIT = {  # in names
    ".npz": "\0+$",  # numpy pads with it
    ".npy": "[\r\n\ud800-\udc7f\udd00-\udfff]",  # ends of lines, and what no byte stands for
    ".parquet": "[\ud800-\udfff]",  # what is no UTF-8
}
WIDE = 16e6  # bytes of names as numpy's own text, which gives each the width of the longest

logger = logging.getLogger(__name__)


class EmbeddingsWriter:
    """Takes names and their embeddings, keeping the rows in a file; see ``writing``.

    What a format cannot hold in a name is escaped, as Python would show it.
    """

    def __init__(self, rows: IO[bytes], dimension: int, dtype: str, suffix: str = "") -> None:
        self.rows = rows
        self.unfit = re.compile(UNFIT.get(suffix, "(?!)"))
        self.escaped = 0  # names
        self.dimension = dimension
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.names: list[str] = []
        self.about: dict[str, str] = {}  # what Parquet keeps of itself

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D) of what has been appended."""
        return len(self.names), self.dimension

    def append(self, names: Sequence[str], embeddings: Tensor) -> None:
        """Append names and as many embeddings (B, D).

        Raises:
            ValueError: if there are not as many names as rows of D numbers.
        """
        if tuple(embeddings.shape) != (len(names), self.dimension):
            raise ValueError(
                f"{len(names)} names and embeddings {tuple(embeddings.shape)} do not correspond; "
                f"each name needs one row of {self.dimension}"
            )
        self.rows.write(embeddings.cpu().numpy().astype(self.dtype).tobytes())
        held = [self.unfit.sub(_escape, name) for name in names]
        self.escaped += sum(one != other for one, other in zip(held, names, strict=True))
        self.names += held

    def chunks(self) -> Iterator[np.ndarray]:
        """Read the rows again, in arrays (at most CHUNK, D)."""
        self.rows.seek(0)
        while data := self.rows.read(CHUNK * self.dimension * self.dtype.itemsize):
            yield np.frombuffer(data, self.dtype).reshape(-1, self.dimension)


@contextlib.contextmanager
def writing(
    path: Path, dimension: int, dtype: str = "float32", force: bool = False, count: int = 0
) -> Iterator[EmbeddingsWriter]:
    """Write a file of embeddings row by row; it appears, whole, when all went well.

    Args:
        path: its suffix chooses the format.
        dimension: D of the embeddings.
        dtype: "float32" or "float16".
        force: True overwrites what is there.
        count: how many rows are expected, if that is known: a disk that is too small for them,
            twice in the end, is told before they are made.

    Raises:
        ValueError: if the suffix is not one of ``FORMATS``.
        FileExistsError: if the file exists and ``force`` is False.
        FullDiskError: if there is no space for it.
    """
    check_output(path, force)
    with (
        replacing(path, 2 * count * dimension * np.dtype(dtype).itemsize) as temporary,
        tempfile.TemporaryFile(dir=path.parent) as rows,  # gone even if the process is killed
    ):
        writer = EmbeddingsWriter(rows, dimension, dtype, path.suffix)
        yield writer
        if writer.escaped:
            logger.warning("%s: %d names are escaped, as it cannot hold them", path, writer.escaped)
        FORMATS[path.suffix](writer, temporary)
        if path.suffix == ".npy":
            _write_names(writer.names, names_file(path))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", errors="backslashreplace").decode("ascii")


def check_output(path: Path, force: bool) -> None:
    """Refuse, before any work, a file that could not be written after it.

    Raises:
        ValueError: if the suffix is not one of ``FORMATS``.
        FileExistsError: if the file exists and ``force`` is False.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: the suffix of embeddings is one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    for written in (path, names_file(path)) if path.suffix == ".npy" else (path,):
        if written.exists() and not force:
            raise FileExistsError(f"{written} exists; --force overwrites it")


def names_file(path: Path) -> Path:
    """Say where the names of a ``.npy`` file are: ``.names.txt`` instead of its suffix."""
    return path.with_suffix(".names.txt")


def _write_names(names: Sequence[str], path: Path) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.writelines(f"{name}\n" for name in names)


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_array(writer: EmbeddingsWriter, file: IO[bytes]) -> None:
    _write_header(file, writer.shape, writer.dtype)
    writer.rows.seek(0)
    shutil.copyfileobj(writer.rows, file)


def _write_npy(writer: EmbeddingsWriter, path: Path) -> None:
    with path.open("wb") as file:
        _write_array(writer, file)


def _write_npz(writer: EmbeddingsWriter, path: Path) -> None:
    text = np.dtype(f"<U{max(map(len, writer.names), default=1) or 1}")
    padded, needed = len(writer.names) * text.itemsize, 4 * sum(map(len, writer.names))
    with zipfile.ZipFile(path, "w") as archive:
        if padded > WIDE and padded > 4 * needed:
            _write_long_names(writer.names, archive)
        else:
            with archive.open("names.npy", "w", force_zip64=True) as file:
                _write_header(file, (len(writer.names),), text)
                for start in range(0, len(writer.names), CHUNK):
                    file.write(np.array(writer.names[start : start + CHUNK], text).tobytes())
        with archive.open("embeddings.npy", "w", force_zip64=True) as file:
            _write_array(writer, file)


def _write_long_names(names: Sequence[str], archive: zipfile.ZipFile) -> None:
    """Write names behind each other, ``names_utf8``, and where each ends, ``names_ends``."""
    encoded = [name.encode("utf-8", errors="surrogatepass") for name in names]
    arrays: dict[str, np.ndarray] = {
        "names_utf8": np.frombuffer(b"".join(encoded), np.uint8),
        "names_ends": np.cumsum([len(name) for name in encoded], dtype=np.int64),
    }
    for name, array in arrays.items():
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _write_parquet(writer: EmbeddingsWriter, path: Path) -> None:
    number = pyarrow.from_numpy_dtype(writer.dtype)
    vector = pyarrow.list_(number, writer.dimension)
    columns = [("name", pyarrow.string()), ("embedding", vector)]
    schema = pyarrow.schema(columns, metadata=writer.about)
    with (
        path.open("wb") as opened,  # by us, as the folder may have a name that is no UTF-8
        pyarrow.parquet.ParquetWriter(opened, schema, use_dictionary=False) as file,
    ):
        start = 0
        for rows in writer.chunks():
            names = writer.names[start : start + len(rows)]
            start += len(rows)
            values = pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), writer.dimension)
            file.write_table(pyarrow.table([names, values], schema=schema))


class _PortablePickler(pickle.Pickler):
    """Pickles arrays by numpy's public names, which any numpy, old or new, can read."""

    def reducer_override(self, thing: object) -> Any:  # noqa: ANN401
        if isinstance(thing, np.ndarray):
            return np.ndarray, (thing.shape, thing.dtype.str, bytearray(thing.data))
        return NotImplemented


def _write_pickle(writer: EmbeddingsWriter, path: Path) -> None:
    writer.rows.seek(0)
    rows = np.frombuffer(writer.rows.read(), writer.dtype).reshape(writer.shape)
    with path.open("wb") as file:
        _PortablePickler(file, protocol=4).dump((writer.names, rows))


FORMATS: dict[str, Callable[[EmbeddingsWriter, Path], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
    ".pkl": _write_pickle,
}


def save_embeddings(
    path: Path | str,
    names: Sequence[str],
    embeddings: Tensor,
    dtype: str = "float32",
    force: bool = False,
) -> None:
    """Write names and as many embeddings (N, D); the suffix chooses the format.

    Raises:
        ValueError: if they do not correspond, or the suffix is not one of ``FORMATS``.
        FileExistsError: if the file exists and ``force`` is False.
    """
    path = Path(path)
    check_output(path, force)
    with writing(path, embeddings.shape[1], dtype, force) as writer:
        writer.append(names, embeddings)
