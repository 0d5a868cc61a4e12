"""Embed many images or texts with a model, in batches."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from misc.dataset import Failure, image_loader
from misc.runtime import autocast
from misc.text import WordVectors
from misc.transforms import evaluation_transform
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


@torch.inference_mode()
def embed_image_files(
    model: JointEmbedding,
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    workers: int = 0,
    precision: str = "float32",
) -> Iterator[tuple[list[int], Tensor, list[Failure]]]:
    """Embed image files batch by batch, each once; memory does not grow with their number.

    Args:
        model: in eval mode, on its device.
        paths: image files.
        image_size: side of the square that images are squeezed to, in pixels.
        batch_size: images in a batch.
        workers: processes that read images; 0 reads them in this one.
        precision: "float32" or "bfloat16".

    Yields:
        The places of a batch's images in ``paths``, their embeddings (B, D) on the CPU, and the
        files of the batch that could not be read.
    """
    device = next(model.parameters()).device
    loader = image_loader(paths, evaluation_transform(image_size), batch_size, workers)
    with tqdm(total=len(paths), unit="image", desc="images", disable=None) as bar:
        for batch in loader:
            bar.update(len(batch.indices) + len(batch.failures))
            if not batch.indices:
                yield [], torch.empty(0, model.config.embedding_dim), batch.failures
                continue
            with autocast(device, precision):
                embeddings = model.encode_image(batch.images.to(device, non_blocking=True))
            yield batch.indices, embeddings.float().cpu(), batch.failures


def encode_images(
    model: JointEmbedding, paths: Sequence[Path], image_size: int, batch_size: int, **options: int
) -> tuple[Tensor, Tensor, list[Failure]]:
    """Embed image files and keep all embeddings; arguments as for ``embed_image_files``.

    Returns:
        Embeddings (N, D) of the files that could be read, their places (N,) in ``paths``, and
        the files that could not, each of which is logged.

    Raises:
        ValueError: if an embedding is not finite (the file is named), or no file can be read.
    """
    rows, embeddings, failures = [], [], []
    batches = embed_image_files(model, paths, image_size, batch_size, **options)
    for indices, batch, failed in batches:
        for index, embedding_is_finite in zip(
            indices, batch.isfinite().all(dim=1).tolist(), strict=True
        ):
            if not embedding_is_finite:
                raise ValueError(f"the embedding of {paths[index]} is not finite")
        rows += indices
        embeddings.append(batch)
        failures += failed
    for failure in failures:
        logger.warning("left out: %s", failure.reason)
    if not rows:
        raise ValueError(f"none of the {len(paths)} images can be read")
    return torch.cat(embeddings), torch.tensor(rows), failures


@torch.inference_mode()
def encode_texts(
    model: JointEmbedding,
    texts: Sequence[str],
    word_vectors: WordVectors,
    batch_size: int = 256,
    precision: str = "float32",
    first_sentence: bool = False,
) -> Tensor:
    """Embed texts as unit rows (N, D) on the CPU, and log the share of unknown words.

    Raises:
        ValueError: if a text has no word, or its embedding is not finite; the text is named.
    """
    device = next(model.parameters()).device
    embeddings, words, unknown = [], 0, 0
    starts = range(0, len(texts), batch_size)
    for start in tqdm(starts, unit="batch", desc="texts", disable=None):
        batch = texts[start : start + batch_size]
        rows = [word_vectors.rows(text, first_sentence) for text in batch]
        words += sum(len(text) for text in rows)
        unknown += sum(int((text == word_vectors.unknown).sum()) for text in rows)
        vectors, lengths = word_vectors.batch(rows)
        with autocast(device, precision):
            encoded = model.encode_text(vectors.to(device), lengths.to(device)).float().cpu()
        for text, finite in zip(batch, encoded.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                raise ValueError(f"the embedding of the text {text!r} is not finite")
        embeddings.append(encoded)
    if words:
        logger.info("%d of %d words are unknown (%.1f %%)", unknown, words, 100 * unknown / words)
    return torch.cat(embeddings) if embeddings else torch.empty(0, model.config.embedding_dim)
