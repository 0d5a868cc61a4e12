"""Several processes that work as one, as ``torchrun`` starts them; alone, all of it does nothing.

    torchrun --nproc-per-node 2 train.py --preset toy

A rank is the number of a process, from 0; rank 0, the main process, alone writes and reports.
"""

import contextlib
import datetime
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

Thing = TypeVar("Thing")

PATIENCE = datetime.timedelta(days=1)  # of processes that wait for one that downloads or draws

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def process_group(
    device: torch.device, patience: datetime.timedelta | None = None
) -> Iterator[torch.device]:
    """Join the processes that were started together, if there are others.

    NCCL connects GPUs, and gloo connects CPUs.

    Args:
        device: the one of this process, from ``select_device``; yielded as it is.
        patience: how long processes wait for each other before they take one for lost; ``None``
            is torch's default, some minutes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _refuse_unconnected()
        yield device
        return
    _warn_of_shared_store()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    yield device
    dist.destroy_process_group()  # not after an error: it could wait for the others for ever


def _refuse_unconnected() -> None:
    """Refuse to be one of several processes that know nothing of each other.

    Raises:
        ValueError: if SLURM started several, which would all do the same, into the same files.
    """
    tasks = os.environ.get("SLURM_NTASKS", "1")
    if "WORLD_SIZE" not in os.environ and tasks.isdigit() and int(tasks) > 1:
        raise ValueError(
            f"SLURM runs {tasks} tasks, and plain python makes each of them do all the work; use "
            "#SBATCH --ntasks-per-node 1 and srun torchrun --nnodes $SLURM_NNODES --nproc-per-node "
            "GPUS --rdzv-backend c10d --rdzv-endpoint HEAD:29500 SCRIPT.py …"
        )


def _warn_of_shared_store() -> None:
    """Say why processes that were started again may not connect: they read dead ones' addresses."""
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if restarts != "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        logger.warning(
            "started again, but over the store of the processes that died: these may fail to "
            "connect, or wait for ever. Start torchrun with --standalone or --rdzv-backend c10d, "
            "and TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment"
        )


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Say whether this is the process that writes and reports."""
    return rank() == 0


def was_restarted() -> bool:
    """Say whether ``torchrun`` started the processes again, after one of them had died.

    On other machines than that one's, they are not told so themselves.
    """
    return bool(gather_numbers(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))).max())


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Let the first process of each node do something before its others, who find it done.

    They wait for ``PATIENCE``, as a download may take longer than a step ever does.
    """
    if world_size() == 1:
        yield
        return
    waiting: Any = dist.new_group(backend="gloo", timeout=PATIENCE)
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not first:
        dist.barrier(waiting)
    yield
    if first:
        dist.barrier(waiting)


def _connected_device() -> torch.device:
    """Where tensors must be for processes to exchange them."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def gather_objects(thing: Thing) -> list[Thing]:
    """Collect something small of each process, in the order of their ranks."""
    things = [thing] * world_size()
    if world_size() > 1:
        dist.all_gather_object(things, thing)
    return things


def gather_lists(own: list[Thing]) -> list[Thing]:
    """Concatenate short lists of all processes, in the order of their ranks."""
    return [thing for things in gather_objects(own) for thing in things]


def gather_numbers(*numbers: float) -> Tensor:
    """Collect k numbers of each process: (processes, k), float64, on the CPU."""
    own = torch.tensor([numbers], dtype=torch.float64)
    if world_size() == 1:
        return own
    own = own.to(_connected_device())
    gathered = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(gathered, own)
    return torch.cat(gathered).cpu()


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in the order of their ranks, on every process.

    Args:
        rows: (n, ...) with an n of its own in each process, which may be 0; all else is equal.

    Returns:
        (sum of n, ...), on the device of ``rows``; ``gather_with_gradient`` has a gradient too.
    """
    if world_size() == 1:
        return rows
    counts = gather_numbers(len(rows)).int().flatten().tolist()
    # Backends exchange equal shapes only.
    padded = rows.new_zeros(max(counts), *rows.shape[1:], device=_connected_device())
    padded[: len(rows)] = rows.detach()
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    parts = [part[:count] for part, count in zip(gathered, counts, strict=True)]
    return torch.cat(parts).to(rows.device)


def own_share(count: int, batch_size: int) -> list[int]:
    """Choose this process's items out of ``count``: every so manieth batch, in order.

    They make the very batches that a single process would make, so results are the same to the
    last bit. ``in_order`` puts the items of all processes together again.
    """
    starts = range(rank() * batch_size, count, world_size() * batch_size)
    return [item for start in starts for item in range(start, min(start + batch_size, count))]


def in_order(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Collect rows (n, ...) of all processes and sort them by their places (n,): both, on each."""
    places, order = gather_rows(places).sort()
    return gather_rows(rows)[order], places


def first_row(count: int) -> int:
    """Say where, in ``gather_rows``, the ``count`` rows of this process begin."""
    return int(gather_numbers(count)[: rank()].sum())


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        context.start, context.count = first_row(len(rows)), len(rows)
        return gather_rows(rows)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[context.start : context.start + context.count]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Do what ``gather_rows`` does, for a loss that is the sum of the processes' own losses.

    The gradient of ``rows`` (n, ...) is then that of the sum: whatever other processes computed of
    these rows counts too. All processes must run backward, one with 0 rows as well.
    """
    return _GatherWithGradient.apply(rows) if world_size() > 1 else rows


def broadcast_buffers(model: torch.nn.Module) -> None:
    """Give all processes the statistics of the main one's batch norms."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def parallel(model: torch.nn.Module) -> torch.nn.Module:
    """Wrap a model so that backward averages the gradients of all processes.

    The parameters that train at this moment are meant: wrap it anew when others are to.
    """
    if world_size() == 1:
        return model
    # Of 1x1 convolutions, for whose gradients two memory layouts are the same.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(model)
