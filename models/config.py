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

    backbone: str = setting(
        "resnet152",
        "network of the image path: resnet{18,34,50,101,152}, or timm/NAME for any model of timm "
        "with a spatial feature map",
    )
    stages: int = setting(4, "ResNet stages kept, 1 to 4; 3 gives maps twice as fine")
    embedding_dim: int = setting(2400, "dimension of the joint space", "-de", "--dimemb")
    pool_k: int = setting(15, "locations averaged by the pooling, at either end for weldon")
    image_dropout: float = setting(0.5, "dropout of the pooled image features")
    word_dim: int = setting(620, "dimension of the word vectors; must be that of the table")
    sru_layers: int = setting(4, "SRU layers of the text path", "-sru", "--sru")
    text_dropout: float = setting(0.25, "dropout in the SRU layers")
    image_pooling: str = setting(
        "weldon",
        "of the activation maps: weldon (highest and lowest locations, as published), max (the "
        "highest alone) or gpo (all, by weights that are learned; VSE-infinity, 2021)",
    )
    text_pooling: str = setting(
        "last",
        "of the states at the words: last (the state at the last word, as published), max (the "
        "highest of each component) or gpo (all, by weights that are learned; VSE-infinity)",
    )
    location_dropout: float = setting(
        0.0, "share of the locations left out at random in training (VSE-infinity, 2021, has 0.2)"
    )
    input_size: int = setting(
        400, "side of the square that images are squeezed to for retrieval, in pixels"
    )
    localization_size: int = setting(416, "the same for the pointing game, in pixels")
    # By which images are normalised, in R, G and B from 0 to 1; they follow from the weights that
    # training starts from, and are no options.
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_deviation: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("image_mean", "image_deviation"):  # lists, if they were JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def image_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by which images are normalised."""
        return self.image_mean, self.image_deviation
