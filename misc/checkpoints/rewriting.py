"""Checkpoints described, and rewritten in our format."""

import dataclasses
from pathlib import Path
from typing import Any

from misc.checkpoints.checkpoint import build_model, read_checkpoint, write_checkpoint
from misc.checkpoints.hub import save_folder
from misc.checkpoints.sharing import shareable


def convert(old: str, new: Path, safetensors: bool = False, force: bool = False) -> Path:
    """Rewrite a checkpoint in our format, without what only resuming its training needs.

    Of paths on this machine it keeps none, as it may be given away: ``--word-vectors`` names the
    word vectors again, but for the built-in ones and those of the data root.

    Args:
        old: whatever ``read_checkpoint`` takes.
        new: the file to write; a folder for ``safetensors``.
        safetensors: True writes ``model.safetensors`` and ``config.json``.
        force: True overwrites what is there.

    Returns:
        The file that was written.

    Raises:
        FileExistsError: if something is there already and ``force`` is False.
    """
    checkpoint = read_checkpoint(old)
    training = checkpoint.training.get("config")
    checkpoint.training = {"config": shareable(training)} if training else {}
    model = build_model(checkpoint, old)  # refuses what -p would refuse later
    written = new / "model.safetensors" if safetensors else new
    if written.exists() and not force:
        raise FileExistsError(f"{written} exists; --force overwrites it")
    if safetensors:
        save_folder(new, model, reference=checkpoint.reference)
    else:
        write_checkpoint(new, checkpoint)
    return written


def describe(file: str) -> dict[str, Any]:
    """Say what is in a checkpoint, without building its model."""
    checkpoint = read_checkpoint(file)
    parts: dict[str, int] = {}
    for name, tensor in checkpoint.state_dict.items():
        part = ".".join(name.split(".")[:2])
        parts[part] = parts.get(part, 0) + tensor.numel()
    training = {
        key: checkpoint.training[key]
        for key in checkpoint.training
        if key not in ("optimizer", "trained")
    }
    return {
        "file": file,
        "config": dataclasses.asdict(checkpoint.config),
        "training": training,
        "word_table_sha256": checkpoint.word_table,
        "notes": checkpoint.notes,
        "reference_images": 0 if checkpoint.reference is None else checkpoint.reference.shape[1],
        "numbers": {**parts, "total": sum(parts.values())},
    }
