"""Convolutions that oneDNN's bfloat16 is no good for: those with a stride and a spatial kernel."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class ExactStridedConvolutions(TorchFunctionMode):
    """Within it and autocast on the CPU, convolutions that ``waits`` names compute in float32.

    Their results, and the gradients that reach them, are rounded as autocast would have them.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call a function of torch, or the convolution below in its place."""
        function = _convolution if func is torch.conv2d else func
        return function(*args, **(kwargs or {}))


def waits(weight: Tensor, stride: int | Sequence[int], groups: int = 1) -> bool:
    """Tell by its shape whether the backward of a convolution in bfloat16 waits for other programs.

    For a kernel that is wider than a pixel, and moves by more than one, oneDNN has all threads of
    the backward transpose the images one by one, and wait for each other in a loop that never
    yields. Where another program has one of the cores, such as a worker that reads the next
    images, that costs a time slice for each image: seconds for a batch. It is a matter of shapes
    alone, so that runs that are resumed, and all processes of a run, round in the same places.

    Args:
        weight: (C_out, C_in / groups, h, w).
        stride: of both directions, or one for each.
        groups: of channels; those of several have another kernel, which does not wait.
    """
    return groups == 1 and math.prod(weight.shape[2:]) > 1 and max(_both(stride)) > 1


def _both(stride: int | Sequence[int]) -> Sequence[int]:
    return (stride,) if isinstance(stride, int) else stride


def _convolution(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    settings: Any = bias, stride, padding, dilation, groups
    if not waits(weight, stride, groups):
        return torch.conv2d(images, weight, *settings)
    rounded = torch.get_autocast_dtype("cpu")
    with torch.autocast("cpu", enabled=False):
        return torch.conv2d(images.float(), weight, *settings).to(rounded)
