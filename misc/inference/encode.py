"""Embed many images or texts with a model, in batches."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from misc.checkpoints.checkpoint import Checkpoint, build_model, read_checkpoint
from misc.config import DataPaths
from misc.data.captions import CaptionedImage
from misc.data.pairs import Failure, ImageBatch, find_word_vectors, image_loader
from misc.data.tars import tar_batches
from misc.data.transforms import evaluation_transform
from misc.runtime.distributed import gather_objects, in_order, own_share
from misc.words.word_vectors import WordVectors
from models.joint_embedding import JointEmbedding

TEXT_BATCH = 256

logger = logging.getLogger(__name__)


def load_with_words(
    path: Path | str, device: torch.device, paths: DataPaths, chosen_word_vectors: str = ""
) -> tuple[JointEmbedding, WordVectors]:
    """Load the model of a checkpoint and the word vectors that it can be used with.

    Args:
        path: the checkpoint.
        device: where the model goes.
        paths: of the data set at hand, for its word vectors.
        chosen_word_vectors: a folder that goes before them; "" if the user chose none.

    Raises:
        FileNotFoundError: if there is no checkpoint, or there are no word vectors.
        ValueError: if the file is no checkpoint, or the word vectors have the wrong dimension.
    """
    checkpoint = read_checkpoint(path)
    return build_with_words(checkpoint, path, device, paths, chosen_word_vectors)


def build_with_words(
    checkpoint: Checkpoint,
    path: Path | str,
    device: torch.device,
    paths: DataPaths,
    chosen_word_vectors: str = "",
) -> tuple[JointEmbedding, WordVectors]:
    """Do what ``load_with_words`` does with a checkpoint that was read from ``path``."""
    recorded = checkpoint.training.get("config", {}).get("word_vectors", "")
    word_vectors = find_word_vectors(
        chosen_word_vectors, paths, recorded, checkpoint.config.word_dim, checkpoint.word_table
    )
    return build_model(checkpoint, path).to(device), word_vectors


class MappedBatch(NamedTuple):
    """Embeddings and maps of a batch of images, on the model's device."""

    indices: list[int]  # places of the images in the list of files
    embeddings: Tensor  # (B, D), unit rows
    maps: Tensor  # (B, D, h, w), not projected
    failures: list[Failure]  # files that could not be read


def _each_batch(
    model: JointEmbedding,
    compute: Callable[[Tensor], Any],
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    workers: int,
) -> Iterator[tuple[ImageBatch, Any]]:
    """Compute something of image files batch by batch; ``None`` where no file could be read."""
    device = next(model.parameters()).device
    transform = evaluation_transform(image_size, model.config.image_statistics)
    loader = image_loader(paths, transform, batch_size, workers)
    with tqdm(total=len(paths), unit="image", desc="images", disable=None) as bar:
        for batch in loader:
            bar.update(len(batch.indices) + len(batch.failures))
            if not batch.indices:
                yield batch, None
                continue
            yield batch, compute(batch.images.to(device, non_blocking=True))


@torch.inference_mode()
def embed_image_files(
    model: JointEmbedding,
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    workers: int = 0,
) -> Iterator[tuple[list[int], Tensor, list[Failure]]]:
    """Embed image files batch by batch, each once; memory does not grow with their number.

    Args:
        model: in eval mode, on its device.
        paths: image files.
        image_size: side of the square that images are squeezed to, in pixels.
        batch_size: images in a batch.
        workers: processes that read images; 0 reads them in this one.

    Yields:
        The places of a batch's images in ``paths``, their embeddings (B, D) on the CPU, and the
        files of the batch that could not be read.
    """
    options = image_size, batch_size, workers
    for batch, embeddings in _each_batch(model, model.encode_image, paths, *options):
        if embeddings is None:
            embeddings = torch.empty(0, model.config.embedding_dim)
        yield batch.indices, embeddings.cpu(), batch.failures


@torch.inference_mode()
def embed_tar(
    model: JointEmbedding, url: str, image_size: int, batch_size: int, workers: int = 0
) -> Iterator[tuple[list[str], Tensor, list[Failure]]]:
    """Embed the images of a WebDataset tar batch by batch.

    Yields:
        Names, embeddings (B, D) on the CPU, and the images that could not be read.

    Raises:
        ValueError: if the tar cannot be read to its end; the message names it.
    """
    device = next(model.parameters()).device
    transform = evaluation_transform(image_size, model.config.image_statistics)
    with tqdm(unit="image", desc=url, disable=None) as bar:
        for batch in tar_batches(url, transform, batch_size, workers):
            bar.update(len(batch.names) + len(batch.failures))
            embeddings = torch.empty(0, model.config.embedding_dim)
            if batch.names:
                embeddings = model.encode_image(batch.images.to(device)).cpu()
            yield batch.names, embeddings, batch.failures


def embed_sample(
    model: JointEmbedding, paths: Sequence[Path], image_size: int, count: int = 16
) -> Tensor:
    """Embed a few image files, spread over the list: (S, D); those that can be read, maybe none."""
    sample = paths[:: max(1, len(paths) // count)][:count]
    return torch.cat([rows for _, rows, _ in embed_image_files(model, sample, image_size, count)])


@torch.inference_mode()
def map_image_files(
    model: JointEmbedding,
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    workers: int = 0,
) -> Iterator[MappedBatch]:
    """Embed image files and keep their maps G; arguments as for ``embed_image_files``.

    Raises:
        ValueError: if maps are not finite; the file is named.
    """
    options = image_size, batch_size, workers
    for batch, computed in _each_batch(model, model.encode_image_with_maps, paths, *options):
        if computed is None:
            nothing = torch.empty(0, model.config.embedding_dim)
            yield MappedBatch([], nothing, nothing, batch.failures)
            continue
        embeddings, maps = computed
        finite = maps.isfinite().flatten(1).all(dim=1).tolist()
        for index, map_is_finite in zip(batch.indices, finite, strict=True):
            if not map_is_finite:
                raise ValueError(f"the activation maps of {paths[index]} are not finite")
        yield MappedBatch(batch.indices, embeddings, maps, batch.failures)


def encode_images(
    model: JointEmbedding,
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    **options: int,
) -> tuple[Tensor, Tensor, list[Failure]]:
    """Embed image files and keep all embeddings; arguments as for ``embed_image_files``.

    Returns:
        Embeddings (N, D) of the files that could be read, their places (N,) in ``paths``, and
        the files that could not, each of which is logged.

    Raises:
        ValueError: if an embedding is not finite (the file is named), or no file can be read.
    """
    batches = embed_image_files(model, paths, image_size, batch_size, **options)
    embeddings, rows, failures = _collect(batches, paths, model.config.embedding_dim)
    if not len(rows):
        raise ValueError(f"none of the {len(paths)} images can be read: {failures[0].reason}")
    return embeddings, rows, failures


def _collect(
    batches: Iterable[tuple[list[int], Tensor, list[Failure]]],
    paths: Sequence[Path],
    dimension: int,
) -> tuple[Tensor, Tensor, list[Failure]]:
    rows, embeddings, failures = [], [torch.empty(0, dimension)], []
    for indices, batch, failed in batches:
        for index, finite in zip(indices, batch.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                raise ValueError(f"the embedding of {paths[index]} is not finite")
        rows += indices
        embeddings.append(batch)
        failures += failed
    for failure in failures:
        logger.warning("left out: %s", failure.reason)
    return torch.cat(embeddings), torch.tensor(rows, dtype=torch.long), failures


@torch.inference_mode()
def encode_texts(
    model: JointEmbedding,
    texts: Sequence[str],
    word_vectors: WordVectors,
    batch_size: int = TEXT_BATCH,
    first_sentence: bool = False,
    quiet: bool = False,
) -> Tensor:
    """Embed texts as unit rows (N, D) on the CPU, and log the share of unknown words.

    ``quiet`` leaves out the progress bar and the log line, for a call out of another loop.

    Raises:
        ValueError: if a text has no word, or its embedding is not finite; the text is named.
    """
    device = next(model.parameters()).device
    embeddings, words, unknown = [], 0, 0
    starts = range(0, len(texts), batch_size)
    for start in tqdm(starts, unit="batch", desc="texts", disable=quiet or None):
        batch = texts[start : start + batch_size]
        rows = [word_vectors.rows(text, first_sentence) for text in batch]
        words += sum(len(text) for text in rows)
        unknown += sum(int((text == word_vectors.unknown).sum()) for text in rows)
        vectors, lengths = word_vectors.batch(rows)
        encoded = model.encode_text(vectors.to(device), lengths).cpu()
        for text, finite in zip(batch, encoded.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                raise ValueError(f"the embedding of the text {text!r} is not finite")
        embeddings.append(encoded)
    if words and not quiet:
        logger.info("%d of %d words are unknown (%.1f %%)", unknown, words, 100 * unknown / words)
    return torch.cat(embeddings) if embeddings else torch.empty(0, model.config.embedding_dim)


def encode_pairs(
    model: JointEmbedding,
    images: Sequence[CaptionedImage],
    word_vectors: WordVectors,
    image_size: int,
    batch_size: int,
    workers: int = 0,
    first_sentence: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Embed images, each once, and their captions; those of unreadable images are left out.

    Several processes share the work, and each gets all of the result.

    Returns:
        Image embeddings (N, D), caption embeddings (M, D) and the row (M,) of each caption's
        image: the arguments of ``misc.evaluation.retrieval.retrieval_metrics``.

    Raises:
        ValueError: if no image can be read, a caption has no word, or an embedding is not finite.
    """
    own = torch.tensor(own_share(len(images), batch_size), dtype=torch.long)
    paths = [images[index].path for index in own.tolist()]
    batches = embed_image_files(model, paths, image_size, batch_size, workers)
    embeddings, rows, failures = _collect(batches, paths, model.config.embedding_dim)
    embeddings, kept = in_order(embeddings, own[rows])
    if not len(kept):
        reason = next(reason for reason in gather_objects([*failures[:1]]) if reason)[0].reason
        raise ValueError(f"none of the {len(images)} images can be read: {reason}")
    read = [images[index].captions for index in kept.tolist()]
    captions = [caption for group in read for caption in group]
    counts = torch.tensor([len(group) for group in read])
    own = own_share(len(captions), TEXT_BATCH)
    texts = [captions[place] for place in own]
    encoded = encode_texts(model, texts, word_vectors, first_sentence=first_sentence)
    caption_embeddings, _ = in_order(encoded, torch.tensor(own, dtype=torch.long))
    return embeddings, caption_embeddings, torch.arange(len(read)).repeat_interleave(counts)
