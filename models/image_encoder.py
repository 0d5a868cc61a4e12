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
        self.pointwise_parts = 0  # at the end of the trunk, which see each location by itself
        self.location_dropout = config.location_dropout
        self.convolution = nn.Conv2d(self.channels, config.embedding_dim, kernel_size=1)
        self.pool = image_pool(config.image_pooling, config.pool_k, config.location_dropout)
        self.dropout = nn.Dropout(config.image_dropout)
        self.projection = nn.Linear(config.embedding_dim, config.embedding_dim)

    def unprojected_maps(self, images: Tensor) -> Tensor:
        """Compute the activation maps G of images: (B, 3, H, W) -> (B, D, h, w).

        Maps that come for images, (B, C, h, w), have passed the first ``frozen_parts`` parts of
        the trunk before, or all of it, and pass what is left.

        In training, locations are left out at random before what sees each by itself, the same
        in a batch: (B, D, L, 1).
        """
        weight, device = self.convolution.weight, images.device.type
        features = images.shape[1] != 3
        # Of features, autocast would make a float32 copy first.
        rounded = features and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if rounded else weight.dtype
        images = images.to(dtype, memory_format=torch.channels_last)
        before = self._rest(images) if features else self._fewer(self.trunk(images))
        maps: Tensor = self.convolution(before)
        return maps

    def _rest(self, maps: Tensor) -> Tensor:
        parts = trunk_parts(self.trunk)
        passed = len(parts) if self.frozen_parts is None else self.frozen_parts
        pointwise = max(passed, len(parts) - self.pointwise_parts)
        for part in parts[passed:pointwise]:
            maps = part(maps)
        maps = self._fewer(maps)
        for part in parts[pointwise:]:
            maps = part(maps)
        return maps

    def _fewer(self, maps: Tensor) -> Tensor:
        """Leave locations out at random in training: (B, C, h, w) -> (B, C, L, 1)."""
        if not (self.training and self.location_dropout):
            return maps
        locations = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (B, h * w, C)
        count = locations.shape[1]
        kept = torch.randperm(count)[: max(1, round(count * (1 - self.location_dropout)))]
        return locations[:, kept.sort().values.to(maps.device)].transpose(1, 2)[..., None]

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

    def embed_with_locations(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images, and their projected maps (Eq. 8) as unit rows: (B, D), (B, L, D)."""
        embeddings, maps = self.embed_with_maps(images)
        locations = maps.flatten(2).transpose(1, 2)  # (B, L, D)
        return embeddings, F.normalize(F.linear(locations, self.projection.weight), dim=2)

    def _embed(self, maps: Tensor) -> Tensor:
        features = self.pool(maps)  # (B, D)
        return F.normalize(self.projection(self.dropout(features)).float(), dim=1)

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
