"""The image path: ResNet -> 1x1 convolution -> weldon pooling -> affine -> unit vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models as torchvision_models

from models.weldon import WeldonPool2d

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
STEM_MODULES = 4  # convolution, batch norm, ReLU and max pooling come before the first stage


def resnet_trunk(backbone: str, stages: int, weights: str | None = None) -> nn.Sequential:
    """Build torchvision's ResNet without its pooling and classifier, up to ``stages`` stages.

    Args:
        backbone: one of ``BACKBONES``.
        stages: how many residual stages are kept, 1 to 4; the stride is 2^(stages + 1).
        weights: a torchvision weights enum by name ("IMAGENET1K_V1"), downloaded when it is
            not in torch's cache; ``None`` leaves the random initialisation.

    Raises:
        ValueError: for a backbone or a number of stages that does not exist.
        OSError: if the weights cannot be downloaded.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"no backbone {backbone!r}; there are {', '.join(BACKBONES)}")
    if not 1 <= stages <= 4:
        raise ValueError(f"a ResNet has 1 to 4 stages, not {stages}")
    resnet = torchvision_models.get_model(backbone, weights=weights)
    return nn.Sequential(*list(resnet.children())[: STEM_MODULES + stages])


class ImageEncoder(nn.Module):
    """Embeds images and, from the same activation maps, says where things are (Eq. 1 and 8).

    Args:
        backbone: torchvision's name of the ResNet.
        stages: how many of its four stages are kept.
        embedding_dim: D, the dimension of the joint space; also the channels of the maps.
        pool_k: k of the weldon pooling.
        dropout: probability with which a pooled feature is dropped in training.
    """

    def __init__(
        self, backbone: str, stages: int, embedding_dim: int, pool_k: int, dropout: float
    ) -> None:
        super().__init__()
        self.trunk = resnet_trunk(backbone, stages)
        bottleneck = backbone not in ("resnet18", "resnet34")
        channels = 64 * 2 ** (stages - 1) * (4 if bottleneck else 1)
        self.stride = 2 ** (stages + 1)
        self.convolution = nn.Conv2d(channels, embedding_dim, kernel_size=1)
        self.pool = WeldonPool2d(pool_k)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(embedding_dim, embedding_dim)

    def unprojected_maps(self, images: Tensor) -> Tensor:
        """Compute the activation maps G of images: (B, 3, H, W) -> (B, D, h, w)."""
        dtype = self.convolution.weight.dtype
        images = images.to(dtype, memory_format=torch.channels_last)
        return self.convolution(self.trunk(images))

    def activation_maps(self, images: Tensor) -> Tensor:
        """Compute the projected maps G' = A G (Eq. 8): (B, 3, H, W) -> (B, D, h, w).

        The affine layer is applied at every location, without its bias.
        """
        maps = self.unprojected_maps(images)
        return F.conv2d(maps, self.projection.weight[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W), normalised, as unit rows (B, D) (Eq. 1).

        Raises:
            ValueError: if the images are too small for the pooling.
        """
        self._check_size(images)
        return self._embed(self.unprojected_maps(images))

    def embed_with_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images and keep their maps G, in one pass: (B, D), (B, D, h, w)."""
        self._check_size(images)
        maps = self.unprojected_maps(images)
        return self._embed(maps), maps

    def _embed(self, maps: Tensor) -> Tensor:
        features = self.pool(maps)  # (B, D)
        return F.normalize(self.projection(self.dropout(features)).float(), dim=1)

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        locations = math.ceil(height / self.stride) * math.ceil(width / self.stride)
        if locations < self.pool.k_max:
            side = math.ceil(math.sqrt(self.pool.k_max)) * self.stride
            raise ValueError(
                f"images of {height}x{width} pixels give {locations} locations, fewer than the "
                f"{self.pool.k_max} that are pooled; they need at least {side}x{side} pixels"
            )
