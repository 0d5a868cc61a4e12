"""A model and pictures as small as they come."""

import numpy as np
from PIL import Image

from models.config import ModelConfig

MINIATURE = ModelConfig(
    backbone="resnet18",
    stages=2,
    embedding_dim=16,
    pool_k=2,
    word_dim=3,
    sru_layers=1,
    input_size=128,
)


def noise(seed, size=(90, 70)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((size[0] * 2, size[1] * 2))
