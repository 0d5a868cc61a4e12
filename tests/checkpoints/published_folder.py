"""A model that is published into a folder."""

import torch

from misc.checkpoints.__main__ import get_parser, main
from models.config import ModelConfig

MINIATURE = ModelConfig(
    backbone="resnet18",
    stages=2,
    embedding_dim=16,
    pool_k=2,
    word_dim=50,
    sru_layers=1,
    input_size=128,
    localization_size=128,
)


PROTOCOL = "Retrieval on toy test, images of 128 x 128 pixels"


def publish(*arguments):
    return main(get_parser().parse_args(["publish", *map(str, arguments)]))


def assert_same_weights(first, second):
    assert first.config == second.config
    tensors = second.state_dict()
    assert first.state_dict().keys() == tensors.keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    assert not first.training
