"""Runs of training: their folders, settings, first weights and checkpoints."""

import argparse
import dataclasses
import json
import logging
from pathlib import Path

import torch

from misc.annotations import CaptionedImage, read_captions
from misc.checkpoint import Checkpoint, build_model, read_checkpoint, save_checkpoint
from misc.cli import given_settings
from misc.config import PRESETS, DataPaths, TrainConfig, check_settings
from misc.files import replacing
from misc.published import load_image_weights
from models.config import ModelConfig
from models.image_encoder import resnet_trunk
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Progress:
    """How far a run has come; with the weights and the optimizer, all that a resume needs.

    Random numbers need no state: each is a function of the seed, the epoch and the batch.
    """

    epoch: int = 0  # the current epoch, from 0
    batch: int = 0  # batches of it that are done
    loss: float = 0.0  # summed over them
    pairs: int = 0  # trained on in them
    best_rsum: float = -1.0
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)  # of the last validation


@dataclasses.dataclass
class Run:
    """One training run: its folder, settings, model, optimizer and progress."""

    folder: Path
    config: TrainConfig
    model: JointEmbedding
    optimizer: torch.optim.Optimizer
    progress: Progress

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def save(self, name: str) -> None:
        """Write a whole checkpoint into the run's folder."""
        training = {
            "config": dataclasses.asdict(self.config),
            "progress": dataclasses.asdict(self.progress),
            "optimizer": self.optimizer.state_dict(),
        }
        save_checkpoint(self.folder / name, self.model, training)

    def log_epoch(self, record: dict[str, float]) -> None:
        """Append the record of an epoch to log.jsonl, over any record of the same epoch."""
        file = self.folder / "log.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        lines = [line for line in lines if json.loads(line)["epoch"] < record["epoch"]]
        with replacing(file) as temporary:
            text = "\n".join([*lines, json.dumps(record)]) + "\n"
            temporary.write_text(text, encoding="utf-8")


def new_model(model_config: ModelConfig, config: TrainConfig) -> JointEmbedding:
    """Build a model with the initial weights that were asked for, and no others.

    Raises:
        OSError: if the weights cannot be had.
        ValueError: if they do not fit the model.
    """
    torch.manual_seed(config.seed)
    model = JointEmbedding(model_config)
    if config.image_weights == "imagenet":
        try:
            trunk = resnet_trunk(model_config.backbone, model_config.stages, "IMAGENET1K_V1")
        except OSError as error:
            raise OSError(
                f"torchvision's ImageNet weights of {model_config.backbone} cannot be downloaded "
                f"({error}); put the file into {torch.hub.get_dir()}/checkpoints by hand, or see "
                "--image-weights"
            ) from error
        model.image_encoder.trunk.load_state_dict(trunk.state_dict())
    elif config.image_weights != "none":
        load_image_weights(Path(config.image_weights), model)
    return model


def start_or_resume(
    folder: Path,
    model_config: ModelConfig,
    config: TrainConfig,
    checkpoint: Checkpoint | None,
    device: torch.device,
) -> Run:
    """Build the run, from its last checkpoint if there is one."""
    model = build_model(checkpoint, folder) if checkpoint else new_model(model_config, config)
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    progress = Progress()
    if checkpoint:
        optimizer.load_state_dict(checkpoint.training["optimizer"])
        progress = Progress(**checkpoint.training["progress"])
        logger.info("resuming %s at epoch %d, batch %d", folder, progress.epoch, progress.batch)
    settings = {"model": dataclasses.asdict(model_config), "training": dataclasses.asdict(config)}
    with replacing(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return Run(folder, config, model, optimizer, progress)


def choose_settings(
    args: argparse.Namespace,
) -> tuple[Path, ModelConfig, TrainConfig, Checkpoint | None]:
    """Settle the run's folder and settings, and read its last checkpoint if it is resumed.

    Raises:
        FileExistsError: if there is such a run and it is not to be resumed.
        ValueError: if a resumed run's model is to change, or settings make no sense.
    """
    model_config, config = PRESETS[args.preset]
    given, given_model = given_settings(args, TrainConfig), given_settings(args, ModelConfig)
    dataset = given.get("dataset", config.dataset)
    name = args.name or (args.preset if dataset == config.dataset else f"{args.preset}-{dataset}")
    folder, last = args.runs / name, args.runs / name / "last.pt"
    checkpoint = None
    if last.exists():
        if not args.resume:
            raise FileExistsError(
                f"there is a run in {folder}: --resume continues it, -n gives the new one a name"
            )
        checkpoint = read_checkpoint(last)
        if "optimizer" not in checkpoint.training:
            raise ValueError(f"{last} is a converted model, not a run that could be resumed")
        model_config, config = checkpoint.config, TrainConfig(**checkpoint.training["config"])
        if dataclasses.replace(model_config, **given_model) != model_config:
            raise ValueError(f"the model of {last} cannot change while it is resumed")
    config = dataclasses.replace(config, **given)
    check_settings(config)
    return folder, dataclasses.replace(model_config, **given_model), config, checkpoint


def training_images(paths: DataPaths) -> list[CaptionedImage]:
    """Read the images that are trained on: Karpathy's train and rest/val splits.

    A data set without any, made for evaluation, is trained on its validation images with a
    warning: good for a trial, and for nothing else.
    """
    try:
        return read_captions(paths, ("train", "restval"))
    except ValueError as error:
        images = read_captions(paths, ("val",))
        logger.warning("%s; a trial run on val: validation figures will mean nothing", error)
        return images
