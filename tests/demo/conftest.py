import pytest
import torch

from demo.explorer import Explorer
from demo.gallery import toy_gallery
from misc.checkpoints.checkpoint import save_checkpoint
from misc.embedder import Embedder
from models.joint_embedding import JointEmbedding
from tests.demo.miniature import MINIATURE


@pytest.fixture(scope="package")
def embedder(toy_root, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    config = {"dataset": "toy", "word_vectors": str(toy_root / "toy" / "word_vectors")}
    save_checkpoint(path, JointEmbedding(MINIATURE), {"config": config})
    return Embedder(path, device="cpu", data_root=toy_root)


@pytest.fixture(scope="package")
def explorer(embedder, toy_root):
    return Explorer(embedder, toy_gallery(embedder, toy_root))
