import pytest
import torch

from misc.checkpoints.checkpoint import save_checkpoint
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.scripts.miniature import MINIATURE


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    model = JointEmbedding(
        ModelConfig(
            "resnet18", 2, 16, 2, word_dim=50, sru_layers=1, input_size=128, localization_size=128
        )
    )
    save_checkpoint(path, model, {"config": {"word_vectors": "glove", "dataset": "toy"}})
    return path


@pytest.fixture(scope="package")
def miniature_checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    save_checkpoint(path, JointEmbedding(MINIATURE), {"config": {"dataset": "toy"}})
    return path
