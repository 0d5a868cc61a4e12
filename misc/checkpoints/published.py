"""The files of 2018: the published weights, and how their tensors were called."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from misc.checkpoints.tensor_files import check_tensors, load_strictly, read_torch_file
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

JOINT_PREFIXES = {
    "img_emb.base_layer.0.": "image_encoder.trunk.",
    "img_emb.base_layer.1.": "image_encoder.convolution.",
    "fc.": "image_encoder.projection.",
    "cap_emb.rnn.": "text_encoder.sru.",
}
IMAGE_PREFIXES = {"base_layer.": "trunk.", "spaConv.": "convolution."}

# torchvision's names of a ResNet's children; in a trunk they are numbered.
TRUNK_CHILDREN = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}

# Residual blocks in each stage, and whether they are bottlenecks of three convolutions.
BACKBONE_BLOCKS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
    "resnet152": ((3, 8, 36, 3), True),
}


def is_published(content: object) -> bool:
    """Tell whether what a file holds is a joint embedding of 2018."""
    return any(key.startswith(("img_emb.", "cap_emb.")) for key in _plain_keys(content))


def is_image_weights(content: object) -> bool:
    """Tell whether what a file holds is the image path alone, trained to classify."""
    return any(key.startswith(tuple(IMAGE_PREFIXES)) for key in _plain_keys(content))


def convert_published(
    content: Mapping[str, Any], path: Path
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Rename the tensors of a file of 2018 and read the model's settings off their shapes.

    Raises:
        ValueError: if tensors are missing or broken, or contradict the file's own settings.
    """
    tensors = _renamed(check_tensors(_state_dict(content), path), JOINT_PREFIXES)
    config = _config_of(tensors, path)
    arguments = published_notes(content)
    for name, found in (("sru", config.sru_layers), ("dimemb", config.embedding_dim)):
        if arguments.get(name, found) != found:
            raise ValueError(
                f"{path} contradicts itself: its settings say {name} = {arguments[name]}, its "
                f"tensors {found}"
            )
    return config, tensors


def published_notes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a file of 2018 says of itself: its arguments, epoch and best recall."""
    arguments = content.get("args_dict") or {}
    if isinstance(arguments, argparse.Namespace):
        arguments = vars(arguments)
    notes = {name: content[name] for name in ("epoch", "best_rec") if name in content}
    plain = (bool, int, float, str, type(None))
    return {
        str(name): value if isinstance(value, plain) else str(value)
        for name, value in {**arguments, **notes}.items()
    }


def load_image_weights(path: Path, model: JointEmbedding) -> None:
    """Copy an image path that was trained to classify into a model; its classifier is dropped.

    Args:
        path: such a file of 2018, as ``pretrained_classif_152_2400.pth.tar``.
        model: keeps its affine layer and its text path.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else, or its tensors do not fit the model's.
    """
    content = read_torch_file(path)
    if not is_image_weights(content):
        raise ValueError(
            f"{path} holds no image weights; they are called base_layer.* and spaConv.*"
        )
    tensors = _renamed(check_tensors(_state_dict(content), path), IMAGE_PREFIXES)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    encoder = model.image_encoder
    parts = nn.ModuleDict({"trunk": encoder.trunk, "convolution": encoder.convolution})
    load_strictly(parts, kept, path, assign=False)


def _state_dict(content: object) -> object:
    return content.get("state_dict", content) if isinstance(content, Mapping) else content


def _plain_key(key: object) -> str:
    """Drop what ``DataParallel`` put into a key."""
    return ".".join(part for part in str(key).split(".") if part != "module")


def _plain_keys(content: object) -> list[str]:
    state = _state_dict(content)
    return [_plain_key(key) for key in state] if isinstance(state, Mapping) else []


def _renamed(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """Give tensors our names; add the counters that batch norms did not have in early 2018."""
    renamed = {_our_key(_plain_key(key), prefixes): tensor for key, tensor in tensors.items()}
    for key in [key for key in renamed if key.endswith(".running_mean")]:
        counter = key.replace("running_mean", "num_batches_tracked")
        renamed.setdefault(counter, torch.tensor(0))
    return renamed


def _our_key(key: str, prefixes: Mapping[str, str]) -> str:
    for theirs, ours in prefixes.items():
        if key.startswith(theirs):
            child, _, rest = key.removeprefix(theirs).partition(".")
            if ours.endswith("trunk."):
                child = str(TRUNK_CHILDREN.get(child, child))
            return f"{ours}{child}.{rest}".rstrip(".")
    return key


def _config_of(tensors: Mapping[str, Tensor], path: Path) -> ModelConfig:
    backbone, stages = _backbone_of(tensors, path)
    layer_pattern = r"text_encoder\.sru\.rnn_lst\.(\d+)\."
    return ModelConfig(
        backbone=backbone,
        stages=stages,
        embedding_dim=_size(tensors, "image_encoder.projection.weight", path),
        word_dim=_size(tensors, "text_encoder.sru.rnn_lst.0.weight", path),
        sru_layers=1 + max(int(match[1]) for match in _matches(layer_pattern, tensors)),
    )


def _size(tensors: Mapping[str, Tensor], key: str, path: Path) -> int:
    if key not in tensors or tensors[key].dim() == 0:
        raise ValueError(f"the weights in {path} do not fit any model: {key} is missing")
    return len(tensors[key])


def _backbone_of(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, int]:
    """Recognise a ResNet by its blocks: its name and the number of its stages."""
    blocks: dict[int, int] = {}
    for match in _matches(r"image_encoder\.trunk\.(\d+)\.(\d+)\.conv1\.weight", tensors):
        stage = int(match[1])
        blocks[stage] = max(blocks.get(stage, 0), int(match[2]) + 1)
    found = tuple(blocks[stage] for stage in sorted(blocks))
    bottleneck = any(_matches(r"image_encoder\.trunk\..*\.conv3\.weight", tensors))
    for name, (expected, has_bottlenecks) in BACKBONE_BLOCKS.items():
        if found and expected[: len(found)] == found and has_bottlenecks == bottleneck:
            return name, len(found)
    raise ValueError(f"{path} has no ResNet that is known here: its stages have {found} blocks")


def _matches(pattern: str, keys: Mapping[str, Tensor]) -> list[re.Match[str]]:
    return [match for match in (re.match(pattern, key) for key in keys) if match]
