"""The settings of the model; importing them costs nothing, not even torch."""

import dataclasses
from typing import Any


def setting(default: Any, help: str, *flags: str) -> Any:  # noqa: ANN401
    """Declare a field with its help; ``flags`` are further names of it on the command line."""
    return dataclasses.field(default=default, metadata={"help": help, "flags": flags})


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build the model; stored in every checkpoint as JSON.

    The defaults are those of the published weights.
    """

    backbone: str = setting("resnet152", "ResNet of the image path: resnet{18,34,50,101,152}")
    stages: int = setting(4, "residual stages kept, 1 to 4; 3 gives maps twice as fine")
    embedding_dim: int = setting(2400, "dimension of the joint space", "-de", "--dimemb")
    pool_k: int = setting(15, "locations averaged at either end by weldon pooling")
    image_dropout: float = setting(0.5, "dropout of the pooled image features")
    word_dim: int = setting(620, "dimension of the word vectors; must be that of the table")
    sru_layers: int = setting(4, "SRU layers of the text path", "-sru", "--sru")
    text_dropout: float = setting(0.25, "dropout in the SRU layers")
