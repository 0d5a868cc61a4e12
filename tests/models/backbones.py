"""Small models of any backbone."""

import torch

from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

LITE = "timm/tf_efficientnet_lite0"


def small(backbone, **settings):
    torch.manual_seed(0)
    sizes = {"embedding_dim": 16, "pool_k": 2, "word_dim": 5, "sru_layers": 1, "input_size": 64}
    return JointEmbedding(ModelConfig(backbone, **(sizes | settings))).eval()
