"""Files as the code of 2018 wrote them, of miniature models."""

import argparse

import numpy as np
import torch

from models.config import ModelConfig

MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, word_dim=8, sru_layers=2
)  # pool_k stays 15, which files of 2018 do not tell


OUR_PARTS = {
    "image_encoder.trunk.": "img_emb.module.base_layer.0.",
    "image_encoder.convolution.": "img_emb.module.base_layer.1.",
    "image_encoder.projection.": "fc.module.",
    "text_encoder.sru.": "cap_emb.rnn.",
}


def their_key(key, parts=OUR_PARTS):
    ours = next(ours for ours in parts if key.startswith(ours))
    return key.replace(ours, parts[ours], 1)


def published_content(model, **more):
    """What the code of 2018 gave to torch.save."""
    arguments = {"sru": model.config.sru_layers, "dimemb": model.config.embedding_dim, "name": "x"}
    return {
        "epoch": 21,
        "state_dict": {their_key(key): tensor for key, tensor in model.state_dict().items()},
        "optimizer": {"state": {140212: {"step": 3}}, "param_groups": [{"lr": 1e-3}]},
        "args_dict": argparse.Namespace(**arguments),
        "best_rec": np.float64(41.5),
    } | more


def save_published(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def lively(model):
    """Give batch norms statistics and the SRU a recurrent weight, as training does."""
    for name, tensor in model.state_dict().items():
        if "running_mean" in name or "weight_c" in name:
            tensor.normal_(std=0.3)
        if "running_var" in name:
            tensor.uniform_(0.5, 2)
    return model
