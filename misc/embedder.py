"""The model as a Python object: images and texts in, embeddings and heat maps out."""

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from misc.checkpoints.checkpoint import build_model, read_checkpoint
from misc.config import default_data_root
from misc.data.decoding import load_image, to_rgb
from misc.data.paths import DataPaths, find_word_vectors
from misc.data.transforms import evaluation_transform
from misc.evaluation.localization import kernel_heat_maps
from misc.evaluation.presence import percentiles
from misc.inference.acceleration import accelerate
from misc.inference.batches import embed_and_map
from misc.inference.encode import encode_texts
from misc.runtime.device import select_device
from misc.words.token_vectors import TokenVectors

ImageSource = Path | str | Image.Image


class Embedder:
    """A trained model that embeds images and texts and says where texts are in an image.

    Word vectors are opened when the first text needs them.

    Args:
        path: a checkpoint: ours, one of 2018, a folder of safetensors, or hf://user/name.
        device: "auto" (CUDA where there is one), "cpu", "cuda:1" …
        word_vectors: folder with dictionary.txt and utable.npy, or a pretrained text encoder
            (a folder, package:NAME or hf://user/name); "" takes what the model was trained with,
            else word_vectors under ``data_root``.
        data_root: folder of the data sets; ``None`` is $DSVE_DATA, or data.
        image_size: side of the square to which images are squeezed, in pixels; ``None`` is what the
            model has for each task, 400 and for heat maps 416 if it is that of the paper.
        batch_size: images that are embedded at once.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it is none, or the device does not exist.
    """

    def __init__(
        self,
        path: Path | str,
        device: str = "auto",
        word_vectors: Path | str = "",
        data_root: Path | str | None = None,
        image_size: int | None = None,
        batch_size: int = 32,
    ) -> None:
        self.device = select_device(device)
        checkpoint = read_checkpoint(path)
        self.model = accelerate(build_model(checkpoint, path).to(self.device))
        self.image_size = image_size or checkpoint.image_size
        self.localization_size = image_size or checkpoint.config.localization_size
        self.reference = checkpoint.reference_images
        self.batch_size = batch_size
        self._open_word_vectors = functools.partial(
            find_word_vectors,
            str(word_vectors),
            DataPaths(Path(data_root or default_data_root())),
            checkpoint.training.get("config", {}).get("word_vectors", ""),
            dimension=checkpoint.config.word_dim,
            fingerprint=checkpoint.word_table,
            device=self.device,
        )

    @functools.cached_property
    def word_vectors(self) -> TokenVectors:
        """The word vectors of the model.

        Raises:
            FileNotFoundError: if there are none.
            ValueError: if they have another dimension than the model needs.
        """
        return self._open_word_vectors()

    def _pixels(self, images: Sequence[ImageSource], size: int | None = None) -> Tensor:
        """Read images as normalised pixels (B, 3, H, W) on the device."""
        statistics = self.model.config.image_statistics
        transform = evaluation_transform(size or self.image_size, statistics)
        pictures = [
            to_rgb(image) if isinstance(image, Image.Image) else load_image(Path(image))
            for image in images
        ]
        return torch.stack([transform(picture) for picture in pictures]).to(self.device)

    @torch.inference_mode()
    def embed_images(self, images: Sequence[ImageSource]) -> Tensor:
        """Embed image files or PIL images as unit rows (N, D), on the CPU.

        Raises:
            ValueError: if a file cannot be read as an image; the message names it.
        """
        batches = [
            self.model.encode_image(self._pixels(images[start : start + self.batch_size])).cpu()
            for start in range(0, len(images), self.batch_size)
        ]
        return torch.cat(batches) if batches else torch.empty(0, self.model.config.embedding_dim)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit rows (N, D), on the CPU.

        Raises:
            ValueError: if a text has no word.
            FileNotFoundError: if there are no word vectors.
        """
        return encode_texts(self.model, texts, self.word_vectors, quiet=True)

    @torch.inference_mode()
    def localize(
        self,
        image: ImageSource,
        texts: Sequence[str],
        components: int | None = None,
        affinity: float | None = None,
    ) -> Tensor:
        """Compute a heat map for each text over one image: (M, h, w), on the CPU.

        Args:
            image: an image file or a PIL image.
            texts: what to look for.
            components: how many of a text's components count, the largest; ``None`` is the
                model's own number.
            affinity: of ``share_alike``; ``None`` is the model's own.

        Raises:
            ValueError: if the image cannot be read, or a text has no word.
        """
        embeddings = self.embed_texts(texts).to(self.device)
        pixels = self._pixels([image], self.localization_size)
        _, maps = embed_and_map(self.model, pixels, affinity)
        components = components or self.model.config.heat_map_components
        kernels = self.model.localization_kernels(embeddings, components)
        return kernel_heat_maps(maps[0], kernels).cpu()

    def percentiles(self, images: Tensor, texts: Tensor) -> Tensor:
        """Say whether texts are in images: how many other images fit them less, in percent.

        Args:
            images: (N, D), from ``embed_images``.
            texts: (M, D), from ``embed_texts``.

        Returns:
            (N, M); below ``misc.evaluation.presence.ABSENT`` a text is probably not there. NaN if
            the checkpoint has no images of reference.
        """
        return percentiles(images, texts, self.reference)
