"""Runs of training: their folders, settings, first weights and checkpoints."""

import contextlib
import dataclasses
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from misc.checkpoints.checkpoint import Checkpoint, build_model, save_checkpoint
from misc.config import TrainConfig
from misc.runtime.distributed import gather_objects, is_main
from misc.runtime.files import replacing
from misc.runtime.locks import locked
from misc.training.image_weights import start_from
from models.backbones import count_before, count_pointwise
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Progress:
    """How far a run has come; with the weights and the optimizer, all that a resume needs.

    Random numbers need no state: each is a function of the seed, the epoch and the batch.
    """

    epoch: int = 0  # the current epoch, from 0
    batch: int = 0  # steps of it that are done
    drawn: int = 0  # items that they took, of the epoch's order, those that cannot be read included
    loss: float = 0.0  # summed over them
    pairs: int = 0  # trained on in them
    best_rsum: float = -1.0
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)  # of the last validation

    def add(self, loss: float, pairs: int, drawn: int) -> None:
        """Take in a step: its summed loss, the pairs trained on and the items drawn for it."""
        self.batch += 1
        self.loss += loss
        self.pairs += pairs
        self.drawn += drawn


@dataclasses.dataclass
class Run:
    """One training run: its folder, settings, model, optimizer and progress.

    Of several processes that train it together, the main one alone writes.
    """

    folder: Path
    config: TrainConfig
    model: JointEmbedding
    optimizer: torch.optim.Optimizer  # of three groups: trunk, rest of the image path, text path
    progress: Progress
    save_every: float = math.inf  # seconds between two checkpoints within an epoch
    saved_at: float = dataclasses.field(default_factory=time.monotonic)
    average: AveragedModel | None = None  # moving average of the model, if there is to be one
    reference: Tensor | None = None  # (2, R, D), as ``Checkpoint`` has it
    word_table: str = ""  # fingerprint of the word vectors
    caches: set[str] = dataclasses.field(default_factory=set)  # names of those that it reads

    @property
    def measured(self) -> JointEmbedding:
        """The model that is validated and used: the average, if there is one."""
        if self.average is None:
            return self.model
        average = self.average.module
        assert isinstance(average, JointEmbedding)
        return average

    @property
    def results(self) -> dict[str, float]:
        """The metrics of the last validation, and the best rsum."""
        return {**self.progress.metrics, "best_rsum": self.progress.best_rsum}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step, by the factor of each part."""
        factors = self.config.trunk_rate, 1.0, self.config.text_rate
        for group, factor in zip(self.optimizer.param_groups, factors, strict=True):
            group["lr"] = rate * factor

    def save(self, name: str) -> None:
        """Write a whole checkpoint into the run's folder; its model is the one to measure."""
        if not is_main():
            return
        training = {
            "config": dataclasses.asdict(self.config),
            "progress": dataclasses.asdict(self.progress),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.average is not None:
            steps = int(self.average.n_averaged)
            training["trained"] = {"weights": self.model.state_dict(), "averaged_steps": steps}
        known = self.reference, self.word_table
        save_checkpoint(self.folder / name, self.measured, training, *known)
        self.saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """Write last.pt if the last checkpoint is ``save_every`` old."""
        if time.monotonic() - self.saved_at >= self.save_every:
            self.save("last.pt")

    def remember_caches(self, *caches: Path) -> None:
        """Write down which maps and states the run reads, so that those of no run can be found."""
        self.caches |= {cache.name for cache in caches}
        if is_main():
            _write_json(self.folder / "features.json", {"caches": sorted(self.caches)})

    def log_epoch(self, record: dict[str, float]) -> None:
        """Append the record of an epoch to log.jsonl, over any record of the same epoch."""
        file = self.folder / "log.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        lines = [line for line in lines if json.loads(line)["epoch"] < record["epoch"]]
        with replacing(file) as temporary:
            text = "\n".join([*lines, json.dumps(record)]) + "\n"
            temporary.write_text(text, encoding="utf-8")


def only_program_in(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Keep other programs from training the run of a folder at the same time.

    Raises:
        OSError: if one does.
    """
    return locked(folder) if is_main() else contextlib.nullcontext()


def new_model(model_config: ModelConfig, config: TrainConfig) -> JointEmbedding:
    """Build a model with the initial weights that were asked for, and no others.

    Raises:
        OSError: if the weights cannot be had.
        ValueError: if they do not fit the model.
    """
    torch.manual_seed(config.seed)
    model = JointEmbedding(model_config)
    start_from(model, config.image_weights)
    return model


def mark_frozen_parts(model: JointEmbedding, config: TrainConfig) -> None:
    """Note which parts of the trunk never train, so that maps of them may come for images.

    Raises:
        ValueError: if the trunk cannot be parted like that.
    """
    if config.trained_parts:
        encoder = model.image_encoder
        encoder.frozen_parts = count_before(encoder.trunk, config.trained_parts)
        encoder.pointwise_parts = count_pointwise(encoder.trunk)


def new_optimizer(model: JointEmbedding, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimizer, with a group for each part that may have a rate of its own."""
    trunk = list(model.image_encoder.trunk.parameters())
    rest = list(model.image_encoder.parameters())[len(trunk) :]
    groups = [{"params": part} for part in (trunk, rest, list(model.text_encoder.parameters()))]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def moving_average(model: JointEmbedding, decay: float) -> AveragedModel:
    """Make the exponential moving average of a model's weights.

    After n steps the decay is (1 + n) / (10 + n) at most, so that a short training is not averaged
    with its random start.
    """

    def update(averages: Any, weights: Any, steps: Tensor | int) -> None:  # noqa: ANN401
        done = int(steps)
        kept = min(decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(averages, weights, 1 - kept)

    return AveragedModel(model, multi_avg_fn=update)


def start_or_resume(
    folder: Path,
    model_config: ModelConfig,
    config: TrainConfig,
    checkpoint: Checkpoint | None,
    device: torch.device,
    save_every: float = math.inf,
) -> Run:
    """Build the run, from its last checkpoint if there is one.

    Raises:
        ValueError: if the processes that train together did not all find the same checkpoint.
    """
    progress = Progress(**checkpoint.training["progress"]) if checkpoint else Progress()
    found = gather_objects((progress.epoch, progress.batch))
    if len(set(found)) > 1:
        raise ValueError(
            f"the processes find {folder} at different epochs and batches, {found}; --runs must be "
            "a folder that all machines share"
        )
    model = build_model(checkpoint, folder) if checkpoint else new_model(model_config, config)
    model.to(device).to(memory_format=torch.channels_last)
    mark_frozen_parts(model, config)
    optimizer = new_optimizer(model, config)
    average = moving_average(model, config.ema) if config.ema else None
    if checkpoint:
        optimizer.load_state_dict(checkpoint.training["optimizer"])
        if "trained" in checkpoint.training:  # then the checkpoint's model was the average
            trained = checkpoint.training["trained"]
            model.load_state_dict(trained["weights"])
            if average is not None:
                average.n_averaged.fill_(trained["averaged_steps"])
        logger.info("resuming %s at epoch %d, batch %d", folder, progress.epoch, progress.batch)
    if is_main():
        _prepare_folder(folder, model_config, config)
    reference = checkpoint.reference if checkpoint else None
    settings = folder, config, model, optimizer, progress, save_every
    return Run(*settings, average=average, reference=reference)


def _prepare_folder(folder: Path, model_config: ModelConfig, config: TrainConfig) -> None:
    """Write the settings down."""
    settings = {"model": dataclasses.asdict(model_config), "training": dataclasses.asdict(config)}
    _write_json(folder / "config.json", settings)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
