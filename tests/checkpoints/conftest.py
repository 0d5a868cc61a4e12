import json

import pytest
import torch

from misc.checkpoints.checkpoint import (
    save_checkpoint,
)
from misc.presets import PRESETS
from models.joint_embedding import JointEmbedding
from tests.checkpoints.files_of_2018 import MINIATURE as LIVELY
from tests.checkpoints.files_of_2018 import lively
from tests.checkpoints.published_folder import MINIATURE, PROTOCOL, publish


@pytest.fixture(scope="package")
def model():
    torch.manual_seed(0)
    return JointEmbedding(MINIATURE).eval()


@pytest.fixture(scope="package")
def words(toy_root):
    return toy_root / "toy" / "word_vectors"


@pytest.fixture(scope="package")
def checkpoint(model, words, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "best.pt"
    config = vars(PRESETS["toy"][1]) | {"word_vectors": str(words), "seed": 7}
    save_checkpoint(path, model, {"config": config, "optimizer": {"rate": 1}})
    return path


@pytest.fixture(scope="package")
def folder(checkpoint, tmp_path_factory):
    place = tmp_path_factory.mktemp("published")
    results = place / "retrieval.json"
    numbers = {"i2t/R@1": 12.34567, "images": 16, "images_left_out": ["a"]}
    results.write_text(json.dumps({"protocol": PROTOCOL, **numbers}), encoding="utf-8")
    return publish(checkpoint, place / "model", "--results", results)


@pytest.fixture
def lively_model():
    torch.manual_seed(0)
    return lively(JointEmbedding(LIVELY)).eval()
