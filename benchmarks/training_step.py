"""A training step: ResNet-152 at 256 x 256 pixels, batch 8; bfloat16 against naive float32.

python -m benchmarks.training_step
python -m benchmarks.training_step --quick
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run

BATCH = 8
STEPS = {"projection only": (0, 2.5), "full fine-tuning": (9, 2.0)}  # epoch, least ratio


def batch(size: int, dimension: int) -> Any:
    import torch

    from misc.data.training_batches import TrainingBatch

    texts = inputs.captions(BATCH)
    words = inputs.word_vectors(texts, dimension)
    vectors, lengths = inputs.padded(words, texts)
    images = torch.from_numpy(inputs.pixels(BATCH, size))
    numbers = torch.arange(BATCH)
    return TrainingBatch(images, numbers, vectors, lengths, numbers, [])


def prepared(path: Path, epoch: int) -> Any:
    """Load the model and freeze what the recipe freezes in an epoch; all stages train in time."""
    from misc.checkpoints.checkpoint import load_model
    from misc.config import TrainConfig
    from misc.training.steps import set_trainable

    model, config = load_model(path), TrainConfig(first_trained_stage=0, precision="bfloat16")
    set_trainable(model, config, epoch)
    return model, config


def ours(path: Path, size: int, epoch: int) -> Work:
    import torch

    from misc.inference.folded_norms import folding_norms
    from misc.training.losses import HardNegativeLoss
    from misc.training.runs import Progress, Run
    from misc.training.steps import train_step

    model, config = prepared(path, epoch)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=0, fused=True
    )
    step = Run(path.parent, config, model, optimizer, Progress())
    pairs, loss = batch(size, model.config.word_dim), HardNegativeLoss(config.margin)
    weight = model.image_encoder.projection.weight

    def work():
        with folding_norms(model.image_encoder.trunk):
            return train_step(step, model, pairs, loss)[0], weight.grad.numpy()

    return work


def naive(path: Path, size: int, epoch: int) -> Work:
    import torch

    from benchmarks.naive import NaiveImageEncoder, NaiveTextEncoder, triplet_loss

    model, config = prepared(path, epoch)
    image_encoder, text_encoder = NaiveImageEncoder(model), NaiveTextEncoder(model)
    text_encoder.requires_grad_(model.text_encoder.sru.rnn_lst[0].weight.requires_grad)
    trained = [*image_encoder.parameters(), *text_encoder.parameters()]
    optimizer = torch.optim.Adam(trained, config.learning_rate)
    pairs = batch(size, model.config.word_dim)

    def work():
        captions = text_encoder(pairs.vectors, pairs.lengths)
        loss = triplet_loss(image_encoder(pairs.images), captions, config.margin)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gradient = image_encoder.projection.weight.grad
        assert gradient is not None
        return loss.item(), gradient.numpy()

    return work


def agree(ours: Any, naive: Any) -> None:
    """Compare the first step's loss and gradient."""
    import numpy as np

    (our_loss, our_gradient), (naive_loss, naive_gradient) = ours, naive
    norms = np.linalg.norm(our_gradient) * np.linalg.norm(naive_gradient)
    cosine = (our_gradient * naive_gradient).sum() / norms
    if not abs(our_loss / naive_loss - 1) <= 0.05 or not cosine >= 0.95:
        raise ValueError(
            f"ours and naive differ: losses {our_loss:.3f} and {naive_loss:.3f}, gradients of "
            f"cosine {cosine:.3f}"
        )


def main(args: argparse.Namespace) -> None:
    # No dropout, so that losses can be compared.
    config = inputs.model_config(args.quick, image_dropout=0.0, text_dropout=0.0)
    size, rows = 128 if args.quick else 256, []
    with inputs.folder() as folder:
        path = inputs.save_model(folder, config)
        for name, (epoch, min_ratio) in STEPS.items():
            settings = {"path": path, "size": size, "epoch": epoch}
            sides = {"ours": Side(ours, settings), "naive": Side(naive, settings)}
            figures = measure(sides, rounds=5, agree=agree)
            work = f"training step, {size}², batch {BATCH}, {name}"
            rows.append(Row.rates(work, "pairs/s", figures, BATCH, min_ratio=min_ratio))
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__))
