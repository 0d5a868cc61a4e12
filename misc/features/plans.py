"""What decides about the rows of a folder of parts, so that no stale one is kept."""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.joint_embedding import JointEmbedding


def state_of_files(files: Sequence[Path]) -> str:
    """Hash sizes and times of files: a photograph that has changed is embedded again."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat() if file.exists() else None
        digest.update(repr(status and (status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


def fingerprint(model: JointEmbedding) -> str:
    """Hash the settings and the weights of a model."""
    digest = hashlib.sha256(repr(model.config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def list_hash(names: Sequence[str]) -> str:
    """Hash the names of all inputs, in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()


def plan_of(
    args: argparse.Namespace, model: JointEmbedding, precision: str, inputs: dict[str, Any]
) -> dict[str, Any]:
    """Collect what decides about the rows of a folder, and about which part each is in.

    Args:
        args: what ``output_options`` gave.
        model: as it was loaded.
        precision: the one that was chosen.
        inputs: what else the rows depend on.
    """
    return {
        "model": fingerprint(model),
        "dimension": model.config.embedding_dim,
        "dtype": args.dtype,
        "precision": precision,
        "shard_size": args.shard_size,
        **inputs,
    }
