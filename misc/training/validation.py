"""What ends an epoch: validation, log and checkpoints."""

import dataclasses
import itertools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from misc.data.captioned_images import CaptionedImage
from misc.data.training_dataset import Features, TrainingDataset
from misc.evaluation.retrieval import retrieval_metrics
from misc.inference.acceleration import accelerate
from misc.inference.encode import encode_pairs
from misc.runtime.failures import Failure
from misc.training.progress_pictures import heat_map_panel
from misc.training.runs import Progress, Run
from misc.words.token_vectors import TokenVectors

REFERENCES = 1000  # images that are kept with a model, at most

logger = logging.getLogger(__name__)


def validate(
    run: Run,
    images: Sequence[CaptionedImage],
    word_vectors: TokenVectors,
    workers: int,
    writer: SummaryWriter | None,
    features: Features | None = None,
) -> dict[str, float]:
    """Measure retrieval on the validation images, and draw heat maps of a few.

    Args:
        run: the run whose epoch it is.
        images: of the validation split, with their captions.
        word_vectors: those of training.
        workers: threads that read images.
        writer: for TensorBoard; ``None`` in all processes but the main one.
        features: of the images, if they were computed before.
    """
    model = accelerate(run.measured, run.config.precision)
    size, batch_size = run.config.image_size, run.config.batch_size
    embeddings = encode_pairs(
        model, images, word_vectors, size, batch_size, workers=workers, features=features
    )
    if writer is not None:
        side = model.config.localization_size
        picture = heat_map_panel(model, images, word_vectors, side)
        if picture is not None:
            pixels = np.asarray(picture)
            writer.add_image("heat maps", pixels, run.progress.epoch, dataformats="HWC")
    return retrieval_metrics(*embeddings)


class _Chosen(NamedTuple):
    """Features of some images among many."""

    features: Features
    places: Sequence[int]

    @property
    def views(self) -> int:
        return self.features.views

    def load(self, index: int, view: int = 0) -> Tensor:
        return self.features.load(self.places[index], view)


def keep_reference(
    run: Run, dataset: TrainingDataset, workers: int, features: Features | None = None
) -> None:
    """Embed some images of training, evenly spread, and a caption of each; the run keeps both.

    Images without captions are passed over, and captions that have no word.

    Args:
        run: the run whose ``reference`` they become.
        dataset: of training.
        workers: threads that read images.
        features: of the images, at the size of validation, if they were computed before.
    """
    images, words = dataset.images, dataset.word_vectors
    captioned = [place for place, image in enumerate(images) if image.captions]
    spread = captioned[:: max(1, -(-len(captioned) // REFERENCES))]
    captions = [images[place].captions[place % len(images[place].captions)] for place in spread]
    spoken = [not isinstance(text, Failure) for text in words.vectors_of(captions)]
    places = list(itertools.compress(spread, spoken))
    chosen = [
        dataclasses.replace(images[place], captions=(caption,))
        for place, caption in zip(places, itertools.compress(captions, spoken), strict=True)
    ]
    run.reference = None
    if not chosen:
        return
    model = accelerate(run.measured, run.config.precision)
    inputs = chosen, words, run.config.image_size, run.config.batch_size, workers
    picked = None if features is None else _Chosen(features, places)
    embeddings = encode_pairs(model, *inputs, features=picked)
    run.reference = torch.stack(embeddings[:2]).half()


def finish_epoch(run: Run, metrics: dict[str, float], writer: SummaryWriter | None) -> None:
    """Log the epoch that ended and save it, as the best one too if it is.

    Args:
        run: the run whose epoch it is.
        metrics: of its validation.
        writer: for TensorBoard; ``None`` in all processes but the main one.
    """
    progress = run.progress
    record = {
        "epoch": progress.epoch,
        "loss": progress.loss / progress.pairs,
        "learning_rate": run.optimizer.param_groups[1]["lr"],
        **metrics,
    }
    if writer is not None:
        for key, value in record.items():
            writer.add_scalar(key, value, progress.epoch)
        writer.flush()
        run.log_epoch(record)
    best = metrics["rsum"] > progress.best_rsum
    run.progress = Progress(
        epoch=progress.epoch + 1,
        best_rsum=max(metrics["rsum"], progress.best_rsum),
        metrics=metrics,
    )
    if best:  # before last.pt: a run killed between the two does the epoch again
        run.save("best.pt")
    run.save("last.pt")
    logger.info(
        "epoch %d: loss %.3f, R@1 caption -> image %.1f, image -> caption %.1f, rsum %.1f%s",
        record["epoch"],
        record["loss"],
        metrics["t2i/R@1"],
        metrics["i2t/R@1"],
        metrics["rsum"],
        " (best)" if best else "",
    )
