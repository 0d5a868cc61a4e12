"""Trunks of the image path: networks that were made to classify, up to their last feature map."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
TIMM = "timm/"  # comes before the names of timm's models
TRIAL_SIDE = 64  # pixels
STEM_MODULES = 4  # convolution, batch norm, ReLU and max pooling come before the first stage


def build_trunk(backbone: str, stages: int, pretrained: bool = False) -> "ResNetTrunk | TimmTrunk":
    """Build a trunk, which knows the ``channels`` and the ``stride`` of its map.

    Args:
        backbone: one of ``RESNETS``, torchvision's; or ``timm/NAME``.
        stages: how many residual stages of a ResNet are kept, 1 to 4; 4 for timm's.
        pretrained: True takes weights trained on ImageNet, downloaded when they are not in the
            cache; False leaves the random initialisation.

    Raises:
        ValueError: for a backbone or a number of stages that does not exist.
        OSError: if the weights cannot be downloaded.
    """
    if backbone.startswith(TIMM):
        if stages != 4:
            raise ValueError(f"{backbone} is taken whole: --stages {stages} is for ResNets")
        return TimmTrunk(backbone.removeprefix(TIMM), pretrained)
    if backbone not in RESNETS:
        raise ValueError(f"no backbone {backbone!r}; there are {', '.join(RESNETS)} and timm/NAME")
    if not 1 <= stages <= 4:
        raise ValueError(f"a ResNet has 1 to 4 stages, not {stages}")
    return ResNetTrunk(backbone, stages, pretrained)


class ResNetTrunk(nn.Sequential):
    """A ResNet of torchvision up to one of its stages: (B, 3, H, W) -> (B, C, h, w).

    Args:
        name: torchvision's name of the model.
        stages: how many residual stages are kept, 1 to 4.
        pretrained: True downloads its weights.

    Raises:
        OSError: if the weights cannot be downloaded.
    """

    def __init__(self, name: str, stages: int, pretrained: bool = False) -> None:
        weights = "IMAGENET1K_V1" if pretrained else None
        resnet = torchvision_models.get_model(name, weights=weights)
        super().__init__(*list(resnet.children())[: STEM_MODULES + stages])
        bottleneck = name not in ("resnet18", "resnet34")
        self.channels: int = 64 * 2 ** (stages - 1) * (4 if bottleneck else 1)
        self.stride: int = 2 ** (stages + 1)


class TimmTrunk(nn.Module):
    """A model of timm without its pooling and classifier: (B, 3, H, W) -> (B, C, h, w).

    Args:
        name: timm's name of the model.
        pretrained: True downloads its weights.

    Raises:
        ValueError: if there is no such model, or its features have no place in the image.
        OSError: if the weights cannot be downloaded.
    """

    def __init__(self, name: str, pretrained: bool = False) -> None:
        super().__init__()
        import timm  # seconds, which other backbones need not wait for

        self.name = name
        options: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
        try:
            network: Any = timm.create_model(name, pretrained=pretrained, **options)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"timm makes no model of {name!r}: {error}") from error
        self.network = network
        self.side: int = network.pretrained_cfg["input_size"][-1]
        with torch.device("meta"), torch.no_grad():  # shapes alone
            images = torch.empty(1, 3, self.side, self.side)
            shape = timm.create_model(name, **options).eval()(images).shape
        if len(shape) != 4 or shape[2] == 1:
            raise ValueError(f"timm/{name} has no spatial feature map, but one of {tuple(shape)}")
        self.channels_last: bool = shape[1] == shape[2]
        self.channels: int = shape[3] if self.channels_last else shape[1]
        self.stride: int = network.feature_info[-1]["reduction"]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the last feature map of images.

        Raises:
            ValueError: if the network takes images of one size only, and these have another.
        """
        try:
            maps: Tensor = self.network(images)
        except (AssertionError, RuntimeError) as error:
            if tuple(images.shape[2:]) == (self.side, self.side):
                raise
            raise ValueError(
                f"timm/{self.name} takes images of {self.side} x {self.side} pixels only "
                f"({error}); set --input-size, --localization-size, --crop-size and --image-size"
            ) from error
        return maps.permute(0, 3, 1, 2) if self.channels_last else maps


def trunk_stages(trunk: ResNetTrunk | TimmTrunk) -> Iterator[tuple[int, nn.Module]]:
    """Give each part of a trunk the stage that it belongs to: 0 is the stem, 4 the coarsest."""
    if not isinstance(trunk, TimmTrunk):
        for index, module in enumerate(trunk):
            yield max(0, index - STEM_MODULES + 1), module
        return
    ends = {entry["module"]: entry["reduction"] for entry in trunk.network.feature_info}
    # In order; the parts of what holds several stages one by one.
    modules: list[tuple[str, nn.Module]] = []
    for name, module in trunk.network.named_children():
        inner = [(f"{name}.{child}", part) for child, part in module.named_children()]
        modules += inner if any(end in ends for end, _ in inner) else [(name, module)]
    left = {name: int(math.log2(reduction)) - 1 for name, reduction in ends.items()}
    for name, module in modules:
        yield max(0, next(iter(left.values()), 4)), module
        left.pop(name, None)


def trunk_parts(trunk: ResNetTrunk | TimmTrunk) -> list[nn.Module]:
    """Take a trunk apart into what runs one after another: its blocks, and what is beside them."""
    parts: list[nn.Module] = []
    for _, part in trunk_stages(trunk):
        blocks = list(part.children()) if isinstance(part, nn.Sequential) else []
        parts += blocks if blocks and all(any(block.children()) for block in blocks) else [part]
    return parts


def trial_image(trunk: ResNetTrunk | TimmTrunk) -> Tensor:
    """Make an image (1, 3, H, W) that a trunk can take, to compare two ways to compute its map."""
    side = trunk.side if isinstance(trunk, TimmTrunk) else TRIAL_SIDE
    like = next(trunk.parameters())
    pixels = torch.linspace(-2, 2, 3 * side**2, dtype=like.dtype, device=like.device)
    return pixels.view(1, 3, side, side)


@torch.inference_mode()
def count_before(trunk: ResNetTrunk | TimmTrunk, trained: int) -> int:
    """Count the parts of a trunk that come before the last ``trained`` ones with weights.

    What it computes of a trial image, part by part, is compared with what the trunk does.

    Raises:
        ValueError: if it has fewer, or does more than to run them one after another.
    """
    parts = trunk_parts(trunk)
    weighted = [place for place, part in enumerate(parts) if any(True for _ in part.parameters())]
    if trained >= len(weighted):
        raise ValueError(f"--trained-parts {trained}: the network has {len(weighted)} with weights")
    images = trial_image(trunk)
    training = trunk.training
    trunk.eval()
    try:
        maps, expected = nn.Sequential(*parts)(images), trunk(images)
        same = maps.shape == expected.shape and torch.allclose(maps, expected, 1e-3, 1e-4)
    except (AssertionError, RuntimeError, TypeError):  # one part does not take what another gives
        same = False
    trunk.train(training)
    if not same:
        raise ValueError("--trained-parts: this network does more than to run its parts in a row")
    return weighted[-trained]


@torch.inference_mode()
def count_pointwise(trunk: ResNetTrunk | TimmTrunk) -> int:
    """Count the parts at the end of a trunk that see each location by itself.

    Such as 1x1 convolutions: they make of some locations what they make of them among all.
    """
    parts, maps = trunk_parts(trunk), trial_image(trunk)
    count, training = 0, trunk.training
    trunk.eval()
    for part in parts:
        some, maps = maps.flatten(2)[:, :, ::2, None], part(maps)
        try:
            alone, among = part(some).flatten(2), maps.flatten(2)[:, :, ::2]
            same = alone.shape == among.shape and torch.allclose(alone, among, 1e-3, 1e-4)
        except (AssertionError, RuntimeError):  # it makes nothing of a single column
            same = False
        count = count + 1 if same else 0
    trunk.train(training)
    return count


def image_statistics(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by which a backbone's own weights want images normalised.

    Those of R, G and B, which are from 0 to 1.
    """
    if backbone.startswith(TIMM):
        import timm

        settings = timm.get_pretrained_cfg(backbone.removeprefix(TIMM))
        if settings is not None:
            return tuple(settings.mean), tuple(settings.std)
    return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
