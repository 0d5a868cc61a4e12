"""Checkpoints: tensors and JSON, nothing that could run code."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misc.runtime import replacing
from models.joint_embedding import JointEmbedding, ModelConfig

FORMAT = "dsve-1"


@dataclasses.dataclass
class Checkpoint:
    """What a checkpoint file holds."""

    config: ModelConfig
    state_dict: dict[str, Tensor]
    training: dict[str, Any]  # settings, progress and optimizer state; empty in converted files


def save_checkpoint(path: Path, model: JointEmbedding, training: dict[str, Any]) -> None:
    """Write a model and the state of its training; a killed process leaves the old file."""
    content = {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "state_dict": model.state_dict(),
        "training": training,
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file to the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint; the message names it.
    """
    raise NotImplementedError


def load_model(path: Path | str, device: torch.device | str = "cpu") -> JointEmbedding:
    """Build the model of a checkpoint, in eval mode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint, or its tensors do not fit; the message names it.
    """
    return build_model(read_checkpoint(Path(path)), path).to(device)


def build_model(checkpoint: Checkpoint, path: Path | str) -> JointEmbedding:
    """Build the model of a checkpoint that was read from ``path``, in eval mode."""
    model = JointEmbedding(checkpoint.config)
    model.load_state_dict(checkpoint.state_dict)
    return model.eval()
