"""Batch norms of fixed statistics as part of the convolutions before them."""

import contextlib
import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.backbones import ResNetTrunk, TimmTrunk, trial_image


class AfterNorm(nn.Sequential):
    """What is left of a norm that was folded: those of timm do their activation, too."""


def fold_batch_norms(module: nn.Module) -> None:
    """Make each batch norm part of the convolution before it, for good."""
    for parent, convolution, norm in list(_neighbours(module)):
        before, after = getattr(parent, convolution), getattr(parent, norm)
        setattr(parent, convolution, fuse_conv_bn_eval(before, after))
        setattr(parent, norm, AfterNorm(*after.children()))


@contextlib.contextmanager
def folding_norms(trunk: ResNetTrunk | TimmTrunk) -> Iterator[None]:
    """Within it, the trunk computes as if batch norms in ``eval`` mode were folded, and can train.

    Weights are those of before, and so are their gradients, but for rounding: each forward folds
    them anew, which costs less than to scale and shift maps, and those maps' gradients.
    """
    pairs = list(_neighbours(trunk)) if can_fold(trunk) else []
    changed: list[nn.Module] = []
    for parent, *names in pairs:
        convolution, norm = (getattr(parent, name) for name in names)
        if not norm.training:
            vars(convolution)["forward"] = partial(_folded, copy.copy(convolution), norm)
            vars(norm)["forward"] = AfterNorm(*norm.children()).forward
            changed += convolution, norm
    try:
        yield
    finally:
        for module in changed:
            del vars(module)["forward"]


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    """Compute the norm of a convolution, by weights that have it in them."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    weights = {"weight": convolution.weight * scale[:, None, None, None], "bias": shift}
    maps: Tensor = functional_call(convolution, weights, images)
    return maps


def _neighbours(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Find each batch norm that is registered right after a convolution: by parent and names."""
    previous = ""
    for name, child in module.named_children():
        before = getattr(module, previous, None)
        norm = isinstance(child, nn.BatchNorm2d) and child.affine and child.track_running_stats
        if norm and isinstance(before, nn.Conv2d):
            yield module, previous, name
        else:
            yield from _neighbours(child)
        previous = name


@torch.inference_mode()
def can_fold(trunk: ResNetTrunk | TimmTrunk) -> bool:
    """Say whether each batch norm runs after the convolution that is registered before it.

    In timm's networks, anything may be registered after anything: a folded copy is tried.
    """
    if isinstance(trunk, ResNetTrunk) or not any(_neighbours(trunk)):
        return True
    plain = copy.deepcopy(trunk).eval()
    folded, image = copy.deepcopy(plain), trial_image(trunk)
    fold_batch_norms(folded)
    expected = plain(image)
    error = (folded(image) - expected).abs().max()
    return bool(error <= 1e-3 * expected.abs().max())
