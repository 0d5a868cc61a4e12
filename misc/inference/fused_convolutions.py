"""Networks on the CPU with activations, and sums before them, as part of the convolution before."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from misc.inference.folded_norms import AfterNorm
from models.backbones import ResNetTrunk, TimmTrunk

# What oneDNN calls them, and their numbers.
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
}


def fuse_activations(trunk: ResNetTrunk | TimmTrunk, dtype: torch.dtype) -> None:
    """Have oneDNN do what follows a convolution while its results are still at hand.

    By themselves, these small operations read and write each map again, for a fifth of the time
    and more.

    Args:
        trunk: whose batch norms are part of its convolutions; it is changed, and cannot be trained.
        dtype: that it will compute in.
    """
    if not _can_fuse(next(trunk.parameters()).device, dtype):
        return
    if isinstance(trunk, TimmTrunk):
        _fuse_neighbours(trunk)
        return
    stem = trunk[0]
    assert isinstance(stem, nn.Conv2d)
    trunk[0], trunk[2] = FusedConvolution(stem), nn.Identity()  # 1 was a batch norm, 2 a ReLU
    for stage in trunk:
        if isinstance(stage, nn.Sequential):
            for name, block in list(stage.named_children()):
                if isinstance(block, BasicBlock | Bottleneck):
                    setattr(stage, name, FusedBlock(block))


def _fuse_neighbours(module: nn.Module) -> None:
    """Fuse each convolution with what is left of the norm folded into it: an activation."""
    from timm.layers.conv2d_same import Conv2dSame

    previous = ""
    for name, child in list(module.named_children()):
        before = getattr(module, previous, None)
        activation = _only_activation(child)
        pads = isinstance(before, Conv2dSame)
        if activation and isinstance(before, nn.Conv2d) and (pads or _is_plain(before)):
            fused = FusedConvolution(before, *activation)
            setattr(module, previous, nn.Sequential(SamePadding(before), fused) if pads else fused)
            setattr(module, name, nn.Identity())
        else:
            _fuse_neighbours(child)
        previous = name


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Say whether a convolution does nothing of its own, such as other padding."""
    zeros = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    return zeros and type(convolution) is nn.Conv2d


def _only_activation(module: nn.Module) -> tuple[str, list[float]] | None:
    """Return the activation that is all there is left of a norm, if there is one."""
    if not isinstance(module, AfterNorm):
        return None
    layers = [layer for layer in module if not isinstance(layer, nn.Identity)]
    return ACTIVATIONS.get(type(layers[0])) if len(layers) == 1 else None


def _can_fuse(device: torch.device, dtype: torch.dtype) -> bool:
    """Say whether this torch, on this processor, computes so.

    Torch's own compiler uses these operations, but they are in no manual.
    """
    operations: Any = torch.ops.mkldnn
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(operations, "_convolution_pointwise"):
        return False
    return dtype is torch.float32 or bool(operations._is_mkldnn_bf16_supported())


class FusedConvolution(nn.Module):
    """Activation of a convolution, or of its sum with other maps.

    Args:
        convolution: it is laid out channels last, or bfloat16 fails.
        activation: as oneDNN calls it.
        numbers: of the activation.
    """

    def __init__(
        self, convolution: nn.Conv2d, activation: str = "relu", numbers: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.convolution = convolution.to(memory_format=torch.channels_last)
        self.activation: Any = activation, list(numbers), ""

    def forward(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """Compute activation(convolution(images) + added): (B, C, H, W) -> (B, D, h, w)."""
        layer, operation = self.convolution, torch.ops.mkldnn._convolution_pointwise
        settings = layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation
        if added is None:
            maps: Tensor = operation(images, *settings, layer.groups, *self.activation)
        else:
            how: Any = "add", 1.0, *self.activation
            maps = operation.binary(images, added, *settings, layer.groups, *how)
        return maps


class SamePadding(nn.Module):
    """Zeros around images, as many as TensorFlow has, which torch's own padding writes twice.

    Args:
        convolution: timm's, that they are for.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.settings = convolution.kernel_size, convolution.stride, convolution.dilation

    def forward(self, images: Tensor) -> Tensor:
        """Pad (B, C, H, W): half of the zeros, rounded down, come first."""
        from timm.layers.padding import get_same_padding

        *start, height, width = images.shape
        each = zip((height, width), *self.settings, strict=True)
        below, right = (get_same_padding(*numbers) for numbers in each)
        top, left = below // 2, right // 2
        padded = torch.empty(
            (*start, height + below, width + right),
            dtype=images.dtype,
            device=images.device,
            memory_format=torch.channels_last,
        )
        padded[:, :, top : top + height, left : left + width] = images
        padded[:, :, :top] = padded[:, :, top + height :] = 0
        padded[..., :left] = padded[..., left + width :] = 0
        return padded


class FusedBlock(nn.Module):
    """A residual block of torchvision: (B, C, H, W) -> (B, D, h, w)."""

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        layers = [block.conv1, block.conv2]
        layers += [block.conv3] if isinstance(block, Bottleneck) else []
        *first, last = map(FusedConvolution, layers)
        self.first, self.last = nn.Sequential(*first), last
        self.downsample = block.downsample or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Add what the block computes to its input, and take the ReLU of that."""
        maps: Tensor = self.last(self.first(images), self.downsample(images))
        return maps
