"""Models made ready for inference: fewer operations, faster layouts, smaller numbers."""

import copy
import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from misc.config import PRECISIONS
from misc.inference.folded_norms import can_fold, fold_batch_norms
from misc.inference.fused_convolutions import fuse_activations
from models.joint_embedding import JointEmbedding
from models.sru import SRUCell

LARGE_SET = 10_000  # items from which "auto" weighs bfloat16: below it, there is little to gain
AGREEMENT = 0.999  # cosine to the float32 embedding that every item of the sample must reach

logger = logging.getLogger(__name__)


def accelerate(model: JointEmbedding, precision: str = "float32") -> JointEmbedding:
    """Copy a model for inference; the copy has the same methods and cannot be trained.

    Batch norms become part of the convolutions before them, on the CPU many activations do, too,
    and images are laid out channels last, which changes results by float32's rounding alone.

    Args:
        model: any; it is left as it is.
        precision: "float32"; or "bfloat16" for convolutions and matrix products, which embed with
            a cosine of about 0.9999 to float32.
    """
    fast, dtype = copy.deepcopy(model).eval().requires_grad_(False), getattr(torch, precision)
    if can_fold(fast.image_encoder.trunk):
        fold_batch_norms(fast.image_encoder.trunk)
        fuse_activations(fast.image_encoder.trunk, dtype)
    else:
        logger.info("the batch norms of %s cannot be folded", model.config.backbone)
    fast.image_encoder.to(dtype)
    fast.image_encoder.to(memory_format=torch.channels_last)
    fast.image_encoder.pool.float()  # its weights, if it has learned any
    for layer in fast.text_encoder.sru.rnn_lst:  # its small recurrence stays in float32
        assert isinstance(layer, SRUCell)
        layer.weight = nn.Parameter(layer.weight.to(dtype), requires_grad=False)
    return fast


def precision_of(model: JointEmbedding) -> str:
    """Say which precision an accelerated model computes in, as ``accelerate`` takes it."""
    return str(model.image_encoder.convolution.weight.dtype).removeprefix("torch.")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether a device computes with bfloat16 faster than with float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def accelerate_for(
    items: int,
    model: JointEmbedding,
    precision: str,
    embed_sample: Callable[[JointEmbedding], Tensor],
) -> JointEmbedding:
    """Do what ``accelerate`` does, and choose the precision if it is to be chosen.

    "auto" is bfloat16 if there are ``LARGE_SET`` items, the device is fast with it, and a sample
    of the items agrees with float32 to a cosine of ``AGREEMENT``; else it is float32.

    Args:
        items: how many will be embedded.
        model: on its device.
        precision: "auto", "float32" or "bfloat16".
        embed_sample: embeds a few of the items, (S, D), with the model that it is given.
    """
    if precision != "auto":
        return accelerate(model, precision)
    device = next(model.parameters()).device
    if items >= LARGE_SET and has_fast_bfloat16(device):
        exact, rounded = (embed_sample(accelerate(model, name)) for name in PRECISIONS)
        cosines = F.cosine_similarity(exact, rounded, dim=1)
        agrees = bool((cosines >= AGREEMENT).all()) and len(cosines) > 0
        precision = "bfloat16" if agrees else "float32"
        lowest = cosines.min().item() if len(cosines) else float("nan")
        logger.info("precision: %s (cosine of a sample: %.5f or more)", precision, lowest)
        return accelerate(model, precision)
    return accelerate(model, "float32")
