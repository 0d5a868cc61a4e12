"""Gradients of a batch: at once or in chunks, alone or together with other processes."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from misc.data.training_batches import TrainingBatch
from misc.runtime.device import autocast
from misc.runtime.distributed import rank, world_size
from misc.runtime.seeds import seed_generators
from misc.training.location_loss import LocationLoss


@contextlib.contextmanager
def keeping_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norms work as they would, but without taking what they see into their averages."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def add_gradients(
    model: nn.Module,
    batch: TrainingBatch,
    loss_function: nn.Module,
    seeds: tuple[int, ...],
    precision: str = "float32",
    chunk_size: int = 0,
) -> Tensor:
    """Add the gradients of the loss of all processes' pairs to those of the parameters.

    Args:
        model: the joint embedding, or ``misc.runtime.distributed.parallel`` of it.
        batch: the images and captions of this process, on its device; there may be none.
        loss_function: a ``misc.training.losses.PairLoss`` or a ``LocationLoss``.
        seeds: of dropout, to which the process and the chunk are added.
        precision: "float32" or "bfloat16".
        chunk_size: images that are embedded at a time with their captions, for which there must be
            memory (cached gradients, Gao et al., 2021); 0 embeds all at once. It is 0 in all
            processes or in none.

    Returns:
        This process's share of the loss, a scalar without gradient.
    """
    settings = model, seeds, precision, isinstance(loss_function, LocationLoss)
    if not chunk_size:
        return _backward(_loss(loss_function, _embed(batch, 0, *settings), batch))
    return _chunked(batch.chunks(chunk_size), batch, loss_function, *settings)


def _chunked(
    chunks: list[TrainingBatch],
    batch: TrainingBatch,
    loss_function: nn.Module,
    model: nn.Module,
    *settings: Any,  # noqa: ANN401
) -> Tensor:
    with torch.no_grad():
        embedded = [_embed(chunk, n, model, *settings) for n, chunk in enumerate(chunks)]
    cached = [torch.cat(parts).requires_grad_() for parts in zip(*embedded, strict=True)]
    loss = _backward(_loss(loss_function, cached, batch))
    gradients = [
        embeddings.grad.split([len(part) for part in parts])
        for embeddings, parts in zip(cached, zip(*embedded, strict=True), strict=True)
        if embeddings.grad is not None
    ]
    for number, (chunk, *wanted) in enumerate(zip(chunks, *gradients, strict=True)):
        with _synchronising(model, number == len(chunks) - 1):
            embeddings = _embed(chunk, number, model, *settings)
            # The gradient of this sum is the one that was cached, where there is any to pass on.
            products = [(e * g).sum() for e, g in zip(embeddings, wanted, strict=True)]
            torch.stack(products).sum().backward()
    return loss


def _loss(loss_function: nn.Module, embeddings: Sequence[Tensor], batch: TrainingBatch) -> Tensor:
    things = [batch.things] if isinstance(loss_function, LocationLoss) else []
    loss: Tensor = loss_function(*embeddings, batch.image_ids, batch.owners, *things)
    return loss


def _embed(
    chunk: TrainingBatch,
    number: int,
    model: nn.Module,
    seeds: tuple[int, ...],
    precision: str,
    with_locations: bool,
) -> tuple[Tensor, ...]:
    """Embed images and captions, and with them the locations of images if they are asked for."""
    device = chunk.images.device
    seed_generators(device, *seeds, rank(), number)
    # Batch norms count a pair once, in the pass with gradients, and have no average of nothing.
    counted = torch.is_grad_enabled() and len(chunk) > 0
    statistics = contextlib.nullcontext() if counted else keeping_statistics(model)
    with statistics, autocast(device, precision):
        images, captions, *locations = model(
            chunk.images, chunk.vectors, chunk.lengths, with_locations
        )
    return images.float(), captions.float(), *locations


def _backward(loss: Tensor) -> Tensor:
    """Run backward through one process's share of a sum, of which ``parallel`` takes the mean."""
    (loss * world_size()).backward()
    return loss.detach()


def _synchronising(model: nn.Module, now: bool) -> contextlib.AbstractContextManager[None]:
    """Exchange gradients with the other processes in the next backward, or leave it for later."""
    if now or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()
