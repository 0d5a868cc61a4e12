"""Several processes score a data set as one does."""

import json
import os
import shutil
import socket

import pytest
import torch
from torch.multiprocessing.spawn import spawn

import eval_retrieval
import pointing_game
import semantic_seg
from misc.checkpoints.checkpoint import save_checkpoint
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

SCRIPTS = {
    eval_retrieval: ["-te"],
    pointing_game: ["-k", "4"],
    semantic_seg: ["-k", "4", "--split", "test"],
}
BATCH = 5  # of 16 images: four batches, uneven for 2 processes and for 3


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def score(rank, processes, ports, root, folder):
    """Run all three scripts as one of several processes; each writes what it returns."""
    torch.set_num_threads(1)
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    for port, (script, options) in zip(ports, SCRIPTS.items(), strict=True):
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in environment.items()}
        command = ["-p", root / "model.pt", "--data-root", root, "--dataset", "toy", *options]
        command += ["-bs", BATCH, "--workers", 0, "--device", "cpu"]
        command += ["--json", folder / f"{script.__name__}.json"]
        results = script.main(script.get_parser().parse_args(list(map(str, command))))
        (folder / f"{script.__name__}-{rank}").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def root(toy_root, tmp_path_factory):
    """A toy root of which one test image is broken, and a random model."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(toy_root / "toy", root / "toy")
    test = json.loads((root / "toy" / "coco" / "dataset.json").read_text())["images"]
    broken = [image for image in test if image["split"] == "test"][7]
    (root / "toy/coco/images" / broken["filepath"] / broken["filename"]).write_bytes(b"no image")
    (root / "toy/visual_genome/VG_100K" / f"{broken['cocoid']}.jpg").unlink(missing_ok=True)
    torch.manual_seed(0)
    model = JointEmbedding(ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1))
    save_checkpoint(root / "model.pt", model, {"config": {"dataset": "toy"}})
    return root


@pytest.fixture(scope="module")
def alone(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    arguments = 1, [free_port() for _ in SCRIPTS], root, folder
    spawn(score, arguments, nprocs=1)
    return {script: json.loads((folder / f"{script.__name__}-0").read_text()) for script in SCRIPTS}


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_get_the_very_numbers_of_one(root, alone, tmp_path, processes):
    arguments = processes, [free_port() for _ in SCRIPTS], root, tmp_path
    spawn(score, arguments, nprocs=processes)
    assert alone[eval_retrieval]["images"] == 15  # one of 16 is broken
    for script, expected in alone.items():
        for rank in range(processes):
            found = json.loads((tmp_path / f"{script.__name__}-{rank}").read_text())
            assert json.dumps(found) == json.dumps(expected), script.__name__
        assert (tmp_path / f"{script.__name__}.json").is_file()
