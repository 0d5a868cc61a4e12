"""The image path: trunk -> 1x1 convolution -> weldon pooling -> affine -> unit vector."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import build_trunk, trunk_parts
from models.config import ModelConfig
from models.pooling import image_pool


class ImageEncoder(nn.Module):
    """Embeds images and, from the same activation maps, says where things are (Eq. 1 and 8).

    Args:
        config: of the whole model.

    Raises:
        ValueError: for a backbone or a pooling that does not exist.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = build_trunk(config.backbone, config.stages)
        self.stride = self.trunk.stride
        self.channels = self.trunk.channels
        self.frozen_parts: int | None = None  # that maps have passed, if they come for images
        self.location_dropout = config.location_dropout
        self.convolution = nn.Conv2d(self.channels, config.embedding_dim, kernel_size=1)
        self.pool = image_pool(config.image_pooling, config.pool_k)
        self.dropout = nn.Dropout(config.image_dropout)
        self.projection = nn.Linear(config.embedding_dim, config.embedding_dim)

    def unprojected_maps(self, images: Tensor) -> Tensor:
        """Compute the activation maps G of images: (B, 3, H, W) -> (B, D, h, w).

        Maps that come for images, (B, C, h, w), have passed the first ``frozen_parts`` parts of
        the trunk before, or all of it, and pass what is left.
        """
        weight, device = self.convolution.weight, images.device.type
        features = images.shape[1] != 3
        # Of features, autocast would make a float32 copy first.
        rounded = features and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if rounded else weight.dtype
        images = images.to(dtype, memory_format=torch.channels_last)
        maps: Tensor = self.convolution((self._rest if features else self.trunk)(images))
        return maps

    def _rest(self, maps: Tensor) -> Tensor:
        if self.frozen_parts is not None:
            for part in trunk_parts(self.trunk)[self.frozen_parts :]:
                maps = part(maps)
        return maps

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

    def embed_with_locations(self, images: Tensor, share: float = 1.0) -> tuple[Tensor, Tensor]:
        """Embed images, and their projected maps (Eq. 8) as unit rows: (B, D), (B, L, D).

        Of all locations, L are drawn at random, the same in a batch: that share of them.
        """
        embeddings, maps = self.embed_with_maps(images)
        locations = maps.flatten(2).transpose(1, 2)  # (B, h * w, D)
        if share < 1:
            locations = locations[:, _drawn(locations.shape[1], share).to(maps.device)]
        return embeddings, F.normalize(F.linear(locations, self.projection.weight), dim=2)

    def _embed(self, maps: Tensor) -> Tensor:
        if self.training and self.location_dropout:
            maps = self._drop_locations(maps)
        features = self.pool(maps)  # (B, D)
        return F.normalize(self.projection(self.dropout(features)).float(), dim=1)

    def _drop_locations(self, maps: Tensor) -> Tensor:
        """Leave locations out at random, the same in a batch, but never more than pooling needs."""
        locations = maps.flatten(2)  # (B, D, h * w)
        count = locations.shape[2]
        share = max(self.pool.k_max / count, 1 - self.location_dropout)
        return locations[:, :, _drawn(count, share).to(maps.device), None]

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        if images.shape[1] != 3:
            return
        locations = math.ceil(height / self.stride) * math.ceil(width / self.stride)
        if locations < self.pool.k_max:
            side = math.ceil(math.sqrt(self.pool.k_max)) * self.stride
            raise ValueError(
                f"images of {height}x{width} pixels give {locations} locations, fewer than the "
                f"{self.pool.k_max} that are pooled; they need at least {side}x{side} pixels"
            )


def _drawn(count: int, share: float) -> Tensor:
    """Draw a share of ``count`` places at random, at least one, in order."""
    return torch.randperm(count)[: max(1, round(count * share))].sort().values
