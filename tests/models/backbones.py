"""Small models of any backbone."""

import torch
from torch import nn

from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

LITE = "timm/tf_efficientnet_lite0"


def small(backbone, **settings):
    torch.manual_seed(0)
    sizes = {"embedding_dim": 16, "pool_k": 2, "word_dim": 5, "sru_layers": 1, "input_size": 64}
    return JointEmbedding(ModelConfig(backbone, **(sizes | settings))).eval()


def with_used_norms(model):
    """Change batch norms as if they had seen something, so that folding them matters."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model
