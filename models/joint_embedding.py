"""The whole model: images and sentences in one space."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from torch import Tensor, nn

from models.config import ModelConfig
from models.image_encoder import ImageEncoder
from models.text_encoder import TextEncoder

FORMAT = "dsve-1"  # of checkpoints and folders; others are refused


class JointEmbedding(
    nn.Module,
    PyTorchModelHubMixin,
    paper_url="https://arxiv.org/abs/1804.01720",
    pipeline_tag="feature-extraction",
    tags=["image-text-retrieval", "visual-grounding"],
):
    """Deep semantic-visual embedding with localisation (DSVE-loc, CVPR 2018).

    Built from the configuration alone: nothing is downloaded and no file is read. A folder of
    ``model.safetensors`` and ``config.json``, here or on the Hugging Face hub, is written by
    ``save_pretrained`` and ``push_to_hub`` and read by ``from_pretrained``.

    Args:
        config: what the model is built from.
        about: what else ``config.json`` says, such as how images are prepared; kept, not used.
    """

    def __init__(self, config: ModelConfig, about: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.config = config
        self.about = about or {}
        self.image_encoder = ImageEncoder(config)
        self.text_encoder = TextEncoder(
            config.word_dim,
            config.embedding_dim,
            config.sru_layers,
            config.text_dropout,
            config.text_pooling,
        )

    def encode_image(self, images: Tensor) -> Tensor:
        """Embed normalised images (B, 3, H, W) as unit rows (B, D).

        Raises:
            ValueError: if the images are too small for the pooling.
        """
        embeddings: Tensor = self.image_encoder(images)
        return embeddings

    def encode_text(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Embed word vectors (B, T, W), valid up to lengths (B,), as unit rows (B, D).

        Raises:
            ValueError: if a text has no word.
        """
        embeddings: Tensor = self.text_encoder(vectors, lengths)
        return embeddings

    def activation_maps(self, images: Tensor) -> Tensor:
        """Compute the projected maps G' (Eq. 8) of images (B, 3, H, W): (B, D, h, w)."""
        return self.image_encoder.activation_maps(images)

    def encode_image_with_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images and keep their maps G in one pass: (B, D), (B, D, h, w).

        Heat maps need no projected ones: see ``localization_kernels``.

        Raises:
            ValueError: if the images are too small for the pooling.
        """
        return self.image_encoder.embed_with_maps(images)

    @torch.inference_mode()
    def localization_kernels(self, texts: Tensor, num_components: int) -> Tensor:
        """Turn texts into the weights of maps G that give their heat maps (Eq. 8 and 9).

        A heat map is a sum over the largest (not the largest absolute) components u of a text
        embedding v: sum_u |v[u]| (A G)[u] = (sum_u |v[u]| A[u]) G. So a few rows of A, added up
        once for each text, stand for the projection of each image.

        Args:
            texts: (M, D), text embeddings.
            num_components: how many components of a text count; 180 for pointing, 10 for masks.

        Returns:
            (M, D), float32.

        Raises:
            ValueError: if there are fewer components, or the texts have another dimension.
        """
        dimension = self.config.embedding_dim
        if texts.shape[1] != dimension:
            raise ValueError(f"{dimension} maps, but texts of {texts.shape[1]} components")
        if not 1 <= num_components <= dimension:
            raise ValueError(
                f"{num_components} components of embeddings that have {dimension}; "
                f"use --components 1 to {dimension}"
            )
        values, components = texts.float().topk(num_components, dim=1, sorted=False)
        rows = self.image_encoder.projection.weight.float()
        return F.embedding_bag(components, rows, per_sample_weights=values.abs(), mode="sum")

    def forward(
        self, images: Tensor, vectors: Tensor, lengths: Tensor, with_locations: bool = False
    ) -> tuple[Tensor, ...]:
        """Embed images and captions for training: (B, D), (M, D).

        With locations, their projected maps come third, as unit rows (B, L, D).
        """
        if not with_locations:
            return self.encode_image(images), self.encode_text(vectors, lengths)
        embeddings, locations = self.image_encoder.embed_with_locations(images)
        return embeddings, self.encode_text(vectors, lengths), locations

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        config: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> str | None:
        """Write ``model.safetensors``, ``config.json`` and, where there is none, a model card.

        Args:
            save_directory: the folder; it is made.
            config: content of ``config.json``; ``None`` is what ``from_pretrained`` reads.
            options: see ``huggingface_hub.ModelHubMixin.save_pretrained``.
        """
        settings = {
            "format": FORMAT,
            "config": dataclasses.asdict(self.config),
            "about": self.about,
        }
        return super().save_pretrained(save_directory, config=config or settings, **options)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        config: ModelConfig | None = None,
        about: dict[str, Any] | None = None,
        map_location: str = "cpu",
        **where: Any,  # noqa: ANN401
    ) -> "JointEmbedding":
        """Read safetensors and nothing else, all of them: the mixin would allow pickles and gaps.

        Raises:
            FileNotFoundError: if there is no ``config.json``.
            RuntimeError: if weights are missing, unexpected or of another shape.
        """
        if config is None:
            raise FileNotFoundError(f"no config.json in {model_id}, so it is not a model of ours")
        weights = Path(model_id, "model.safetensors")
        if not Path(model_id).is_dir():
            weights = hf_hub_download(model_id, weights.name, **where)
        return cls._load_as_safetensor(cls(config, about), str(weights), map_location, strict=True)
