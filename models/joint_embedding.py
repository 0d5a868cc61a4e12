"""The whole model: images and sentences in one space."""

import dataclasses
from typing import Any

from torch import Tensor, nn

from models.image_encoder import ImageEncoder
from models.text_encoder import TextEncoder


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


class JointEmbedding(nn.Module):
    """Deep semantic-visual embedding with localisation (DSVE-loc, CVPR 2018).

    Built from the configuration alone: nothing is downloaded and no file is read.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(
            config.backbone,
            config.stages,
            config.embedding_dim,
            config.pool_k,
            config.image_dropout,
        )
        self.text_encoder = TextEncoder(
            config.word_dim, config.embedding_dim, config.sru_layers, config.text_dropout
        )

    def encode_image(self, images: Tensor) -> Tensor:
        """Embed normalised images (B, 3, H, W) as unit rows (B, D).

        Raises:
            ValueError: if the images are too small for the pooling.
        """
        return self.image_encoder(images)

    def encode_text(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Embed word vectors (B, T, W), valid up to lengths (B,), as unit rows (B, D).

        Raises:
            ValueError: if a text has no word.
        """
        return self.text_encoder(vectors, lengths)

    def activation_maps(self, images: Tensor) -> Tensor:
        """Compute the projected maps G' (Eq. 8) of images (B, 3, H, W): (B, D, h, w)."""
        return self.image_encoder.activation_maps(images)

    def encode_image_with_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images and compute their projected maps in one pass: (B, D), (B, D, h, w).

        Raises:
            ValueError: if the images are too small for the pooling.
        """
        return self.image_encoder.embed_with_maps(images)

    def forward(self, images: Tensor, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Embed a batch of pairs: (image embeddings (B, D), caption embeddings (B, D))."""
        return self.encode_image(images), self.encode_text(vectors, lengths)
