"""Gradients of a batch of pairs: at once or in chunks, alone or together with other processes."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from misc.data.pairs import PairBatch
from misc.runtime.device import autocast
from misc.runtime.distributed import rank, world_size
from misc.runtime.seeds import seed_generators


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
    batch: PairBatch,
    loss_function: nn.Module,
    seeds: tuple[int, ...],
    precision: str = "float32",
    chunk_size: int = 0,
) -> Tensor:
    """Add the gradients of the loss of all processes' pairs to those of the parameters.

    Args:
        model: the joint embedding, or ``misc.runtime.distributed.parallel`` of it.
        batch: the pairs of this process, on its device; there may be none.
        loss_function: a ``misc.training.losses.PairLoss``.
        seeds: of dropout, to which the process and the chunk are added.
        precision: "float32" or "bfloat16".
        chunk_size: pairs that are embedded at a time, for which there must be memory (cached
            gradients, Gao et al., 2021); 0 embeds all at once. It is 0 in all processes or none.

    Returns:
        This process's share of the loss, a scalar without gradient.
    """
    settings = model, seeds, precision
    if not chunk_size:
        embeddings = _embed(batch, 0, *settings)
        return _backward(loss_function(*embeddings, batch.image_ids))
    chunks = batch.chunks(chunk_size)
    with torch.no_grad():
        embedded = [_embed(chunk, number, *settings) for number, chunk in enumerate(chunks)]
    cached = [torch.cat(parts).requires_grad_() for parts in zip(*embedded, strict=True)]
    loss = _backward(loss_function(*cached, batch.image_ids))
    found = [embeddings.grad for embeddings in cached if embeddings.grad is not None]
    gradients = zip(*(gradient.split(chunk_size) for gradient in found), strict=True)
    for number, (chunk, wanted) in enumerate(zip(chunks, gradients, strict=True)):
        with _synchronising(model, number == len(chunks) - 1):
            embeddings = _embed(chunk, number, *settings)
            # The gradient of this sum is the one that was cached, where there is any to pass on.
            products = [(e * g).sum() for e, g in zip(embeddings, wanted, strict=True)]
            torch.stack(products).sum().backward()
    return loss


def _embed(
    chunk: PairBatch, number: int, model: nn.Module, seeds: tuple[int, ...], precision: str
) -> tuple[Tensor, Tensor]:
    device = chunk.images.device
    seed_generators(device, *seeds, rank(), number)
    # Batch norms count a pair once, in the pass with gradients, and have no average of nothing.
    counted = torch.is_grad_enabled() and len(chunk) > 0
    statistics = contextlib.nullcontext() if counted else keeping_statistics(model)
    with statistics, autocast(device, precision):
        images, captions = model(chunk.images, chunk.vectors, chunk.lengths)
    return images.float(), captions.float()


def _backward(loss: Tensor) -> Tensor:
    """Run backward through one process's share of a sum, of which ``parallel`` takes the mean."""
    (loss * world_size()).backward()
    return loss.detach()


def _synchronising(model: nn.Module, now: bool) -> contextlib.AbstractContextManager[None]:
    """Exchange gradients with the other processes in the next backward, or leave it for later."""
    if now or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()
