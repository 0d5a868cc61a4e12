"""A GPU for machines without one: tensors that hold CPU data and say that they are on cuda:0.

Within ``pretend_cuda`` whatever is made on, or moved to, "cuda" is such a tensor. Operations run
on the CPU, but refuse to mix devices as a GPU does; what a GPU would make the program wait for is
written down. It cannot show what a real one's libraries do: autocast, generators, pinned memory.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda:0")
COPIES = {"aten::_to_copy", "aten::copy_"}  # the ways from one device to another
PACKING = {"aten::_pack_padded_sequence", "aten::_pad_packed_sequence"}  # has lengths on the CPU
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
OF_UNKNOWN_SIZE = {"aten::nonzero", "aten::masked_select", "aten::_unique2"}  # the host asks for it


class MixedDevicesError(RuntimeError):
    """An operation was given tensors of two devices."""


class PretendTensor(Tensor):
    """A tensor that says that it is on cuda:0; its data are in ``data_here``, on the CPU."""

    data_here: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, data: Tensor) -> "PretendTensor":
        # To torch's own code it is a meta tensor: for CUDA's, it would look for a driver.
        meta = torch.device("meta")
        tensor: PretendTensor = torch.Tensor._make_wrapper_subclass(
            cls, data.size(), strides=data.stride(), dtype=data.dtype, device=meta
        )
        tensor.data_here = data
        return tensor

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"PretendTensor({tuple(self.shape)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = PretendTensor(self.data_here.clone())
        if isinstance(self, torch.nn.Parameter):
            return torch.nn.Parameter(copied, self.requires_grad)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.data_here.__reduce_ex__(protocol)  # what is saved is read on the CPU

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(function, args, kwargs or {}, waits=[])


class PretendMode(TorchDispatchMode):
    """Sends all operations through ``compute``."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []  # what the host waited for the device for

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(function, args, kwargs or {}, self.waits)


def compute(function: Any, args: Any, kwargs: dict[str, Any], waits: list[str]) -> Any:
    """Run an operation on the data, and give back tensors of the device that a GPU would."""
    name = function._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [isinstance(tensor, PretendTensor) for tensor in tensors]
    _refuse_mixing(name, args, tensors)
    wanted = kwargs.get("device")
    if any(there) and _waits(name, args, wanted):
        waits.append(name)
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    outputs = function(*tree_map(_data, args), **tree_map(_data, kwargs))
    if name == "aten::_pack_padded_sequence":
        return (_pretend(outputs[0]) if there[0] else outputs[0]), outputs[1]
    if _is_in_place(function):
        return args[0] if isinstance(args[0], Tensor) else None
    on_device = any(there) if wanted is None else torch.device(wanted).type in ("cuda", "meta")
    return tree_map(_pretend, outputs) if on_device else outputs


def _is_in_place(function: Any) -> bool:
    written = [a for a in function._schema.arguments if a.alias_info and a.alias_info.is_write]
    return bool(written) and written[0].name in ("self", "input") and function._schema.is_mutable


def _data(value: Any) -> Any:
    return value.data_here if isinstance(value, PretendTensor) else value


def _pretend(value: Any) -> Any:
    is_here = isinstance(value, Tensor) and not isinstance(value, PretendTensor)
    return PretendTensor(value) if is_here else value


def _refuse_mixing(name: str, args: Any, tensors: list[Tensor]) -> None:
    """Raise if tensors are of two devices; scalars of the CPU go with all, as they do on a GPU.

    A GPU's tensor may be indexed by indices on the CPU too, but not the other way round.
    """
    if name in INDEXING:
        tensors = [args[0], *(tensors if not isinstance(args[0], PretendTensor) else args[2:3])]
    if name in PACKING:
        if isinstance(args[1], PretendTensor):
            raise MixedDevicesError(f"{name} wants its lengths on the CPU")
        tensors = [args[0]]
    devices = {isinstance(tensor, PretendTensor) for tensor in tensors if tensor.dim()}
    devices |= {True for tensor in tensors if isinstance(tensor, PretendTensor)}
    if len(devices) == 2 and name not in COPIES:
        shapes = [f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors]
        raise MixedDevicesError(f"{name} of {', '.join(shapes)}")


def _waits(name: str, args: Any, wanted: Any) -> bool:
    """Say whether the host has to wait for the device, of which the arguments are."""
    if name == "aten::_to_copy":
        return wanted is not None and torch.device(wanted).type == "cpu"
    if name == "aten::copy_":
        return not isinstance(args[0], PretendTensor)
    if name in INDEXING:
        return any(index is not None and index.dtype == torch.bool for index in args[1])
    return name == "aten::_local_scalar_dense" or name in OF_UNKNOWN_SIZE


@contextlib.contextmanager
def pretend_cuda() -> Iterator[PretendMode]:
    """Make "cuda" a device of this process, for a while; what the host waited for is yielded."""
    if hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        torch._C._ensureCUDADeviceGuardSet()
    precisions: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.fp32_precision for backend in precisions]
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with (
        mock.patch("torch.cuda._lazy_init"),
        mock.patch("torch.cuda.device", contextlib.nullcontext),
        mock.patch("torch.cuda.manual_seed"),
        mock.patch.object(Tensor, "pin_memory", lambda tensor: tensor),
        PretendMode() as mode,
    ):
        try:
            yield mode
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
            for backend, precision in zip(precisions, before, strict=True):
                backend.fp32_precision = precision
