"""The whole model: images and sentences in one space."""

from torch import Tensor, nn

from models.config import ModelConfig
from models.image_encoder import ImageEncoder
from models.text_encoder import TextEncoder


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
