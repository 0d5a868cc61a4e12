"""Processes that really work together: 2 and 3 of them, connected by gloo."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from misc.checkpoints.checkpoint import read_checkpoint
from misc.config import TrainConfig
from misc.data.caption_phrases import NamedThings
from misc.data.training_batches import TrainingBatch
from misc.runtime import distributed
from misc.runtime.signals import StopRequest
from misc.training.gradients import add_gradients
from misc.training.location_loss import LocationLoss
from misc.training.losses import ContrastiveLoss, HardNegativeLoss, SoftmaxLoss
from misc.training.runs import Progress, Run
from misc.training.steps import train_step
from tests.conftest import SMALL_TRAINING
from tests.training.small_batches import (
    EVERYTHING,
    captioned,
    gradients,
    pairs,
    phrased,
    small_model,
)

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
LOSSES = {"hard": HardNegativeLoss(0.5, 2), "all": ContrastiveLoss(), "softmax": SoftmaxLoss()}
JOINT = {**LOSSES, "softmax": SoftmaxLoss(joint=True)}
LOCATIONS = LocationLoss(JOINT["softmax"], SoftmaxLoss(), weight=0.5)
EVEN = {2: (4, 4), 3: (3, 3, 3)}  # images of each process
UNEVEN = {2: (5, 2), 3: (1, 6, 2)}
WITHOUT = {2: (0, 6), 3: (4, 0, 5)}
AFFINE_ONLY = TrainConfig()


def share(batch, counts, rank):
    """The images, with their captions, of one of the processes that have so many each."""
    start, end = sum(counts[:rank]), sum(counts[: rank + 1])
    own = (batch.owners >= start) & (batch.owners < end)
    images, ids, owners = batch.images[start:end], batch.image_ids[start:end], batch.owners[own]
    things = batch.things and NamedThings(batch.things[0][own], batch.things[1][start:end])
    texts = batch.vectors[own], batch.lengths[own], owners - start
    return TrainingBatch(images, ids, *texts, [], things)


def each_case(processes):
    """Images of each process, chunk size, loss, settings, and a batch for all."""
    for name, loss in LOSSES.items():
        yield EVEN[processes], 0, loss, EVERYTHING, pairs(sum(EVEN[processes]))
        yield UNEVEN[processes], 2, loss, EVERYTHING, pairs(sum(UNEVEN[processes]))
        several = captioned(*([1, 3, 2] * 3)[: sum(UNEVEN[processes])])
        yield UNEVEN[processes], 0, JOINT[name], EVERYTHING, several
        yield UNEVEN[processes], 2, JOINT[name], EVERYTHING, several
    named = phrased(*([1, 5, 3] * 3)[: sum(UNEVEN[processes])])
    yield UNEVEN[processes], 0, LOCATIONS, EVERYTHING, named
    yield UNEVEN[processes], 2, LOCATIONS, EVERYTHING, named
    without = WITHOUT[processes]
    yield without, 0, LOCATIONS, EVERYTHING, phrased(*([2, 5, 3] * 3)[: sum(without)])
    yield without, 0, LOCATIONS, EVERYTHING, pairs(sum(without), side=64)
    yield without, 0, LOSSES["hard"], EVERYTHING, pairs(sum(without))
    yield without, 2, LOSSES["softmax"], EVERYTHING, pairs(sum(without))
    yield EVEN[processes], 2, LOSSES["hard"], AFFINE_ONLY, pairs(sum(EVEN[processes]))


def work(rank, processes, port, folder):
    """What each process does; rank 0 writes down what the test looks at."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    values = (rank, rank, processes, "127.0.0.1", port)
    os.environ.update(zip(names, map(str, values), strict=True))
    torch.set_num_threads(1)
    with distributed.process_group(CPU) as device:
        assert device == CPU
        assert (distributed.rank(), distributed.world_size()) == (rank, processes)
        results = {
            "objects": distributed.gather_objects({"rank": rank}),
            "rows": distributed.gather_rows(torch.full((rank, 2), rank)),
            "no rows": distributed.gather_rows(torch.empty(0, 3)),
            "numbers": distributed.gather_numbers(rank, 0.1),
            "buffers": broadcast(rank),
            "stop": agree_to_stop(rank),
            "not finite": message_of_a_loss_that_is_not_finite(rank),
            "cases": [run_case(rank, *case) for case in each_case(processes)],
        }
        torch.save(results, folder / f"{rank}.pt")
    assert not torch.distributed.is_initialized()


def broadcast(rank):
    norm = torch.nn.BatchNorm1d(2)
    norm.get_buffer("running_mean").fill_(rank + 5)
    distributed.broadcast_buffers(norm)
    return norm.running_mean


def agree_to_stop(rank):
    with StopRequest() as stop:
        before = stop.agree()
        if rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return before, stop.agree(), stop.name, stop.exit_status


def message_of_a_loss_that_is_not_finite(rank):
    model = small_model(EVERYTHING)
    weights = [parameter.clone() for parameter in model.parameters()]
    run = Run(Path(), EVERYTHING, model, torch.optim.SGD(model.parameters(), 1.0), Progress())
    batch = share(pairs(4), (2, 2, 0), rank)
    if rank == 1:
        batch.images[0] = torch.nan
    with pytest.raises(FloatingPointError) as error:
        train_step(run, distributed.parallel(model), batch, LOSSES["hard"])
    for parameter, before in zip(model.parameters(), weights, strict=True):
        assert torch.equal(parameter, before)
    return str(error.value)


def run_case(rank, counts, chunk_size, loss, config, whole):
    model = small_model(config)
    batch = share(whole, counts, rank)
    wrapped = distributed.parallel(model)
    for _ in range(2):  # the second time, what DDP found out in the first is in force
        model.zero_grad()
        value = add_gradients(wrapped, batch, loss, (0,), chunk_size=chunk_size)
    return value, gradients(model)


@pytest.fixture(scope="module", params=(2, 3))
def results(request, tmp_path_factory):
    """What each of the processes found, in the order of their ranks."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = request.param, port, folder
    spawn(work, arguments, nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


def test_what_processes_gather_is_in_the_order_of_their_ranks(results):
    ranks = range(len(results))
    for result in results:
        assert result["objects"] == [{"rank": rank} for rank in ranks]
        assert result["rows"].tolist() == [[rank] * 2 for rank in ranks for _ in range(rank)]
        assert result["no rows"].shape == (0, 3)
        assert result["numbers"].tolist() == [[rank, 0.1] for rank in ranks]
        assert result["buffers"].tolist() == [5, 5]


def test_a_signal_to_one_process_stops_all(results):
    assert all(result["stop"] == (False, True, "SIGTERM", 143) for result in results)


def test_a_loss_that_is_not_finite_in_one_process_ends_all_and_names_the_images_of_all(results):
    assert all("with the images [0, 0, 3, 3]" in result["not finite"] for result in results)


def test_loss_and_gradients_equal_those_of_one_process_with_all_the_pairs(results):
    processes = len(results)
    for number, (_, _, loss, config, batch) in enumerate(each_case(processes)):
        model = small_model(config)
        expected = add_gradients(model, batch, loss, (0,))
        losses, found = zip(*(result["cases"][number] for result in results), strict=True)
        torch.testing.assert_close(sum(losses), expected, atol=1e-5, rtol=1e-5)
        for of_process in found:
            assert of_process.keys() == gradients(model).keys()
            for name, gradient in gradients(model).items():
                atol = 1e-5 * max(1, gradient.abs().max())
                torch.testing.assert_close(of_process[name], gradient, atol=atol, rtol=0)


def test_processes_started_again_over_the_store_of_dead_ones_are_told_the_remedy(
    monkeypatch, caplog
):
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    for restarts in "01":
        assert not caplog.records
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
        with distributed.process_group(CPU):
            pass
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in caplog.text


TRAINING = (
    f"{SMALL_TRAINING} --batch-size 2 --epochs 2 --cycle-epochs 2 --checkpoint-every 0 -n run"
)


def torchrun(toy_root, runs):
    """Start a training of two processes; 30 steps an epoch, each of which is saved."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1"]
    command += ["--nproc-per-node=2", "train.py", *TRAINING.split()]
    command += ["--data-root", str(toy_root), "--runs", str(runs)]
    settings = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    )


def kill_a_worker(launcher):
    workers = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(workers[1]), signal.SIGKILL)


def training_progress(checkpoint):
    return read_checkpoint(checkpoint).training["progress"]


def test_a_run_whose_worker_is_killed_goes_on_by_itself_and_ends_with_the_same_weights(
    toy_root, tmp_path
):
    launcher = torchrun(toy_root, tmp_path / "killed")
    while not (tmp_path / "killed" / "run" / "last.pt").exists():
        assert launcher.poll() is None
        time.sleep(0.05)
    kill_a_worker(launcher)
    assert re.search(r"resuming .* at epoch 0, batch [1-9]", launcher.communicate()[1])
    assert launcher.returncode == 0
    undisturbed = torchrun(toy_root, tmp_path / "whole")
    assert "resuming" not in undisturbed.communicate()[1]
    killed, whole = (tmp_path / name / "run" for name in ("killed", "whole"))
    assert training_progress(killed / "last.pt") == training_progress(whole / "last.pt")
    assert (killed / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    tensors = read_checkpoint(killed / "last.pt").state_dict
    for name, tensor in read_checkpoint(whole / "last.pt").state_dict.items():
        assert torch.equal(tensors[name], tensor), name


def test_tasks_of_slurm_that_know_nothing_of_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    refused = pytest.raises(ValueError, match="SLURM runs 2 tasks.* srun torchrun")
    with refused, distributed.process_group(torch.device("cpu")):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")  # as torchrun says
    with distributed.process_group(torch.device("cpu")) as device:
        assert device.type == "cpu"
