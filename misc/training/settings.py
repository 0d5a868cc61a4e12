"""The settings of a run: those asked for, or those of the run that goes on."""

import argparse
import dataclasses
import logging
from pathlib import Path

from misc.checkpoints.checkpoint import Checkpoint, read_checkpoint
from misc.cli.settings import given_settings
from misc.config import TrainConfig
from misc.presets import PRESETS
from misc.runtime.distributed import was_restarted
from misc.training.image_weights import normalised_for
from models.config import ModelConfig

logger = logging.getLogger(__name__)


def choose_settings(
    args: argparse.Namespace,
) -> tuple[Path, ModelConfig, TrainConfig, Checkpoint | None]:
    """Settle the run's folder and settings, and read its last checkpoint if it is resumed.

    Raises:
        FileExistsError: if there is such a run and it is not to be resumed.
        ValueError: if a resumed run's model is to change, or settings make no sense.
    """
    preset = args.preset or "paper"
    model_config, config = PRESETS[preset]
    given, given_model = given_settings(args, TrainConfig), given_settings(args, ModelConfig)
    dataset = given.get("dataset", config.dataset)
    name = args.name or (preset if dataset == config.dataset else f"{preset}-{dataset}")
    folder, last = args.runs / name, args.runs / name / "last.pt"
    config_asked = dataclasses.replace(config, **given)
    model_asked = dataclasses.replace(model_config, **given_model)
    asked = normalised_for(model_asked, config_asked.image_weights), config_asked
    checkpoint, restarted = None, was_restarted()
    model_config = asked[0]
    if last.exists():
        checkpoint = _read_run(last)
        model_config, config = checkpoint.config, _training_config(checkpoint, last)
        # torchrun starts its processes again when one has died; with the same settings, the run
        # that is there is the one that they began.
        if not args.resume and not (restarted and asked == (model_config, config)):
            raise FileExistsError(
                f"there is a run in {folder}: --resume continues it, -n gives the new one a name"
            )
        if args.preset and asked[0] != model_config:
            logger.warning(
                "--preset %s is passed over: the run in %s goes on with its own settings",
                preset,
                folder,
            )
        if dataclasses.replace(model_config, **given_model) != model_config:
            raise ValueError(f"the model of {last} cannot change while it is resumed")
    config = dataclasses.replace(config, **given)
    check_settings(config, model_config)
    return folder, model_config, config, checkpoint


def _training_config(checkpoint: Checkpoint, last: Path) -> TrainConfig:
    try:
        return TrainConfig(**checkpoint.training["config"])
    except TypeError as error:
        raise ValueError(f"{last} has settings that are unknown here: {error}") from error


def _read_run(last: Path) -> Checkpoint:
    checkpoint = read_checkpoint(last)
    if "optimizer" not in checkpoint.training:
        raise ValueError(f"{last} is a converted model, not a run that could be resumed")
    return checkpoint


def check_settings(config: TrainConfig, model_config: ModelConfig | None = None) -> None:
    """Refuse settings that make no sense.

    Raises:
        ValueError: the message names the option, its value and what is possible.
    """
    for settings in (config, model_config) if model_config else (config,):
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            choices, within = (field.metadata.get(key) for key in ("choices", "within"))
            if choices and value not in choices:
                possible = f"it is one of {', '.join(choices)}"
            elif within and value not in within:
                possible = f"it must be {within}"
            else:
                continue
            raise ValueError(f"--{field.name.replace('_', '-')} {value}: {possible}")
    _check_together(config)


def _check_together(config: TrainConfig) -> None:
    if config.cache_features and not config.thaw_epoch and not config.trained_parts:
        raise ValueError(
            "--cache-features: the network trains from the first epoch, so its maps change; "
            "--finetune-epoch freezes it until then, --trained-parts all but its end"
        )
    if config.cached_crops and not config.cache_features:
        raise ValueError(
            f"--cached-crops {config.cached_crops}: crops are cached with --cache-features; "
            "use --cached-crops 0: without maps, each epoch crops each image anew"
        )
    together = config.location_weight, config.images_per_batch, config.warmup_epochs
    if config.location_phrases and not all(together):
        raise ValueError(
            f"--location-phrases {config.location_phrases}: phrases are looked for with "
            "--location-weight, in batches of images (--images-per-batch), in the warm-up "
            "(--warmup-epochs)"
        )
    if config.cycle_epochs and config.epochs > config.cycle_epochs:
        raise ValueError(
            f"--epochs {config.epochs}: the rate's cycle ends after {config.cycle_epochs} epochs; "
            "set --cycle-epochs too"
        )
