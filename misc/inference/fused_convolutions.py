"""ResNets on the CPU with each ReLU, and each sum before it, as part of the convolution before."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from models.backbones import ResNetTrunk


def fuse_activations(trunk: ResNetTrunk) -> None:
    """Have oneDNN do what follows a convolution while its results are still at hand.

    By themselves, these small operations read and write each map again, for a fifth of the time.

    Args:
        trunk: whose batch norms are part of its convolutions; it is changed, and cannot be trained.
    """
    stem = trunk[0]
    assert isinstance(stem, nn.Conv2d)
    if not _can_fuse(stem.weight):
        return
    trunk[0], trunk[2] = FusedConvolution(stem), nn.Identity()  # 1 was a batch norm, 2 a ReLU
    for stage in trunk:
        if isinstance(stage, nn.Sequential):
            for name, block in list(stage.named_children()):
                if isinstance(block, BasicBlock | Bottleneck):
                    setattr(stage, name, FusedBlock(block))


def _can_fuse(weight: Tensor) -> bool:
    """Say whether this torch, on this processor, computes in the precision of a weight like that.

    Torch's own compiler uses these operations, but they are in no manual.
    """
    operations: Any = torch.ops.mkldnn
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(operations, "_convolution_pointwise"):
        return False
    return weight.dtype is torch.float32 or bool(operations._is_mkldnn_bf16_supported())


class FusedConvolution(nn.Module):
    """ReLU of a convolution, or of its sum with other maps; channels last, or bfloat16 fails."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """Compute ReLU(convolution(images) + added): (B, C, H, W) -> (B, D, h, w)."""
        layer, operation = self.convolution, torch.ops.mkldnn._convolution_pointwise
        settings = layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation
        if added is None:
            maps: Tensor = operation(images, *settings, layer.groups, "relu", [], "")
        else:
            how: Any = "add", 1.0, "relu", [], ""
            maps = operation.binary(images, added, *settings, layer.groups, *how)
        return maps


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
