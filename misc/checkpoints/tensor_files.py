"""Files of tensors from strangers: read without running anything, checked before use."""

import argparse
import contextlib
import json
import pickle
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

SHOWN_KEYS = 5  # of all that are wrong, in messages
# What the unpickler raises on bytes that mean nothing to it; it does not check them beforehand.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


class NumpyType:
    """Stands in for ``numpy.dtype`` while a file is read; keeps its code, such as "f8"."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code = str(code)

    def __setstate__(self, state: object) -> None:
        """Take the rest of a pickled dtype, of which nothing is needed."""


def numpy_scalar(dtype: NumpyType, data: bytes) -> float:
    """Stand in for numpy's constructor of pickled scalars: the number itself.

    Raises:
        ValueError: if it is no plain number.
    """
    if not re.fullmatch("[fiu][1248]", dtype.code):
        raise ValueError(f"a numpy scalar of type {dtype.code!r} is no number")
    number: float = np.frombuffer(data, np.dtype(dtype.code).newbyteorder("<"))[0].item()
    return number


# The files of 2018 hold these beside tensors. numpy's are stand-ins, so not even numpy is called;
# its module has two names, depending on the version that wrote the file.
ALLOWED_GLOBALS: list[Any] = [
    argparse.Namespace,
    (numpy_scalar, "numpy.core.multiarray.scalar"),
    (numpy_scalar, "numpy._core.multiarray.scalar"),
    (NumpyType, "numpy.dtype"),
]


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever a broken or hostile file raises into one ValueError that names it."""
    try:
        yield
    except (*UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.filename:  # the disk's fault, not the content's
            raise
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            name = refused[1] if "." in refused[1] else f"builtins.{refused[1]}"
            raise ValueError(
                f"{path} is refused: it asks for {name}, and a checkpoint may hold tensors and "
                "plain settings only, because anything else could run code; nothing in it was run"
            ) from None
        reason = str(error).split("WeightsUnpickler error: ")[-1].strip().split("\n")[0][:200]
        raise ValueError(
            f"{path} cannot be read as a checkpoint; it is damaged, cut off, or something else "
            f"({type(error).__name__}: {reason})"
        ) from error


def read_torch_file(path: Path) -> Any:  # noqa: ANN401
    """Read a file of ``torch.save``, zip or legacy, to the CPU, running nothing that is in it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty, broken, or holds more than tensors and plain settings.
    """
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; was its download or its copy interrupted?")
    with (
        _clear_errors(path),
        warnings.catch_warnings(),
        torch.serialization.safe_globals(ALLOWED_GLOBALS),
    ):
        warnings.simplefilter("ignore")  # about pickle protocols; what counts is raised
        return torch.load(path, map_location="cpu", weights_only=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Read ``model.safetensors`` and the ``config.json`` beside it: tensors and JSON.

    Raises:
        FileNotFoundError: if one of them is missing.
        ValueError: if one of them cannot be read; the message names it.
    """
    settings = path.with_name("config.json")
    for file in (path, settings):
        if not file.is_file():
            raise FileNotFoundError(
                f"no {file}; a checkpoint is a file, or a folder with model.safetensors "
                "and config.json"
            )
    tensors = read_tensors(path)
    try:
        return tensors, json.loads(settings.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{settings} is not valid JSON: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of safetensors to the CPU.

    Raises:
        ValueError: if it is none; the message names it.
    """
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error


def check_tensors(tensors: object, path: Path) -> dict[str, Tensor]:
    """Return a state dict of plain, contiguous, finite tensors, floats as float32.

    Raises:
        ValueError: if it is none, or an entry is no such tensor; the message names the keys.
    """
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(f"{path} holds no tensors, so it is not a checkpoint")
    for name, tensor in tensors.items():
        plain = isinstance(tensor, Tensor) and tensor.layout is torch.strided
        if not plain or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
            raise ValueError(f"{path}: {name!r} is not a plain tensor: {type(tensor).__name__}")
    checked = {str(name): _as_float32(tensor) for name, tensor in tensors.items()}
    broken = [name for name, tensor in checked.items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f"{path} holds weights that are NaN or infinite: {_listed(broken)}")
    return checked


def _as_float32(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().contiguous()
    return tensor.float() if tensor.is_floating_point() else tensor


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], path: Path | str, assign: bool = True
) -> None:
    """Make tensors the weights of a module; whether a parameter is trainable stays as it was.

    Args:
        module: what gets the weights.
        tensors: its state dict.
        path: where the tensors come from, for messages.
        assign: True makes the module take them over, False copies into what it has.

    Raises:
        ValueError: for missing or unexpected keys or other shapes; the message lists them.
    """
    expected = module.state_dict()
    complaints = {
        "missing keys": [name for name in expected if name not in tensors],
        "unexpected keys": [name for name in tensors if name not in expected],
        "wrong shapes": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ],
    }
    complaints = {what: names for what, names in complaints.items() if names}
    if complaints:
        details = "; ".join(f"{what}: {_listed(names)}" for what, names in complaints.items())
        raise ValueError(f"the weights in {path} do not fit the model: {details}")
    module.load_state_dict(tensors, assign=assign)


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN_KEYS
    return ", ".join(names[:SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")
