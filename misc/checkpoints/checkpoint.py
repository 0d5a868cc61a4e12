"""Checkpoints: tensors and JSON, nothing that could run code."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misc.checkpoints.hub import FILES, REFERENCE
from misc.checkpoints.published import (
    convert_published,
    is_image_weights,
    is_published,
    published_notes,
)
from misc.checkpoints.tensor_files import (
    check_tensors,
    load_strictly,
    read_safetensors,
    read_tensors,
    read_torch_file,
)
from misc.runtime.files import replacing
from misc.runtime.hub import local_path
from models.config import ModelConfig
from models.joint_embedding import FORMAT, JointEmbedding


@dataclasses.dataclass
class Checkpoint:
    """What a checkpoint holds, be it a file or a folder."""

    config: ModelConfig
    state_dict: dict[str, Tensor]
    training: dict[str, Any]  # settings, progress and optimizer state; empty for files of 2018
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)  # what those say of themselves
    recorded_size: int | None = None  # of images, where a folder says it
    word_table: str = ""  # fingerprint of the word vectors, where it is known
    # (2, R, D), embeddings of images of training and of a caption each, where they are kept
    reference: Tensor | None = None

    @property
    def reference_images(self) -> Tensor | None:
        """Those by which ``percentiles`` judges whether a text is in an image: (R, D)."""
        return None if self.reference is None else self.reference[0]

    @property
    def image_size(self) -> int:
        """Side of the square, in pixels, to which images are squeezed for this model."""
        return self.recorded_size or self.config.input_size

    @property
    def about(self) -> dict[str, Any]:
        """What the ``config.json`` of a folder says beside the model's settings."""
        return {
            "training": {"config": self.training.get("config", {})},
            "preprocessing": _preprocessing(self.config, self.image_size),
            "word_table_sha256": self.word_table,
        }


def save_checkpoint(
    path: Path,
    model: JointEmbedding,
    training: dict[str, Any],
    reference: Tensor | None = None,
    word_table: str = "",
) -> None:
    """Write a model and the state of its training; a killed process leaves the old file."""
    weights = model.state_dict()
    checkpoint = Checkpoint(
        model.config, weights, training, word_table=word_table, reference=reference
    )
    write_checkpoint(path, checkpoint)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into one file; a killed process leaves the old one."""
    content = {
        "format": FORMAT,
        "config": dataclasses.asdict(checkpoint.config),
        "state_dict": checkpoint.state_dict,
        "reference": checkpoint.reference,
        **checkpoint.about,
        "training": checkpoint.training,
    }
    size = sum(tensor.nbytes for tensor in checkpoint.state_dict.values())
    with replacing(path, size) as temporary:
        torch.save(content, temporary)


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint to the CPU: a file of ours, one of 2018, or a folder of safetensors.

    Args:
        path: the file or folder; ``hf://user/name[@revision]`` is a folder on the hub.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be downloaded.
        ValueError: if it is not a checkpoint; the message names it.
    """
    path = local_path(path, FILES)
    if path.is_dir():
        path = path / "model.safetensors"
    if path.suffix == ".safetensors":
        weights, content = read_safetensors(path)
        reference = path.with_name(REFERENCE)
        if isinstance(content, dict) and reference.exists():
            content["reference"] = read_tensors(reference).get("reference")
        return _from_content(content, weights, path)
    content = read_torch_file(path)
    if is_published(content):
        config, tensors = convert_published(content, path)
        return Checkpoint(config, tensors, training={}, notes=published_notes(content))
    if is_image_weights(content):
        raise ValueError(
            f"{path} holds an image path only, trained to classify; train.py --image-weights "
            "starts from it"
        )
    found = content.get("state_dict") if isinstance(content, dict) else None
    return _from_content(content, found, path)


def _from_content(content: object, tensors: object, path: Path) -> Checkpoint:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a checkpoint: neither in this code's format, {FORMAT}, nor in that of "
            "2018 (img_emb.*, cap_emb.*, fc.*)"
        )
    about = content.get("about", content)  # in a file it stands beside the settings
    if not isinstance(about, dict):
        raise ValueError(f"{path}: what is said about the model should be a dictionary: {about!r}")
    training = about.get("training")
    training = training if isinstance(training, dict) else {}
    if not isinstance(training.get("config", {}), dict):
        raise ValueError(f"{path}: the settings of training should be a dictionary: {training!r}")
    config = _read_config(content.get("config"), path)
    return Checkpoint(
        config,
        check_tensors(tensors, path),
        training,
        recorded_size=_read_image_size(about.get("preprocessing"), config, path),
        word_table=str(about.get("word_table_sha256", "")),
        reference=_read_reference(content.get("reference"), config, path),
    )


def _preprocessing(config: ModelConfig, image_size: int) -> dict[str, Any]:
    """Say how images are prepared, for readers who do not know our settings."""
    mean, deviation = config.image_statistics
    return {
        "image_size": image_size,
        "mean": list(mean),
        "standard_deviation": list(deviation),
    }


def _read_image_size(preprocessing: object, config: ModelConfig, path: Path) -> int | None:
    if preprocessing is None:  # a model that was saved without ever having been a checkpoint
        return None
    size = preprocessing.get("image_size") if isinstance(preprocessing, dict) else None
    if type(size) is not int or size < 1 or preprocessing != _preprocessing(config, size):
        raise ValueError(
            f"{path}: preprocessing should be an image_size in pixels, and the mean and deviation "
            f"of the model's settings, {config.image_statistics}, not {preprocessing!r}"
        )
    return size


def _read_reference(tensor: object, config: ModelConfig, path: Path) -> Tensor | None:
    if tensor is None:
        return None
    reference = check_tensors({"reference": tensor}, path)["reference"]
    shape = tuple(reference.shape)
    if len(shape) != 3 or not shape[1] or (shape[0], shape[2]) != (2, config.embedding_dim):
        raise ValueError(
            f"{path}: images and captions of reference should be 2 times rows of "
            f"{config.embedding_dim} numbers, not {shape}"
        )
    return reference.half()


def _read_config(values: object, path: Path) -> ModelConfig:
    fields = {field.name: field.type for field in dataclasses.fields(ModelConfig)}
    if not isinstance(values, dict) or set(values) != set(fields):
        raise ValueError(f"{path}: the model's settings should be {list(fields)}, not {values!r}")
    for name, value in values.items():
        if not _is_of(value, fields[name]):
            expected = getattr(fields[name], "__name__", fields[name])
            raise ValueError(f"{path}: {name} should be of type {expected}: {value!r}")
    return ModelConfig(**values)


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401
    if kind == tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != 3:
            return False
        return all(_is_of(number, float) for number in value)
    allowed = (int, float) if kind is float else kind
    return isinstance(value, allowed) and not isinstance(value, bool)


def load_model(path: Path | str, device: torch.device | str = "cpu") -> JointEmbedding:
    """Build the model of a checkpoint, in eval mode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint, or its tensors do not fit; the message names it.
    """
    return build_model(read_checkpoint(path), path).to(device)


def build_model(checkpoint: Checkpoint, path: Path | str) -> JointEmbedding:
    """Build the model of a checkpoint that was read from ``path``, in eval mode.

    The model takes the checkpoint's tensors over instead of copying them.

    Raises:
        ValueError: if the settings make no model, or the tensors do not fit it.
    """
    try:
        with torch.device("meta"):  # neither memory nor time for weights that are replaced
            model = JointEmbedding(checkpoint.config, checkpoint.about)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: no model has these settings: {error}") from error
    load_strictly(model, checkpoint.state_dict, path)
    return model.eval()
