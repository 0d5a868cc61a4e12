"""Embed many images or texts with a model, in batches."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from misc.data.captioned_images import CaptionedImage
from misc.data.training_dataset import Features
from misc.inference.batches import embed_features, embed_image_files
from misc.runtime.distributed import gather_objects, in_order, own_share
from misc.runtime.failures import Failure
from misc.runtime.finite import apart_finite
from misc.words.token_vectors import TokenCount, TokenVectors, pad_texts, required
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)

TEXT_BATCH = 256


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
        the files that could not, or whose embedding is not finite, each of which is logged.

    Raises:
        ValueError: if there is no such embedding.
    """
    batches = embed_image_files(model, paths, image_size, batch_size, **options)
    embeddings, rows, failures = _collect(batches, paths, model.config.embedding_dim)
    if not len(rows):
        raise ValueError(f"none of the {len(paths)} images can be embedded: {failures[0].reason}")
    return embeddings, rows, failures


def _collect(
    batches: Iterable[tuple[list[int], Tensor, list[Failure]]],
    paths: Sequence[Path],
    dimension: int,
) -> tuple[Tensor, Tensor, list[Failure]]:
    rows, embeddings, failures = [], [torch.empty(0, dimension)], []
    for indices, batch, failed in batches:
        kept, not_finite = apart_finite(batch, indices, [str(paths[index]) for index in indices])
        rows += [indices[row] for row in kept]
        embeddings.append(batch[kept])
        failures += failed + not_finite
    for failure in failures:
        logger.warning("left out: %s", failure.reason)
    return torch.cat(embeddings), torch.tensor(rows, dtype=torch.long), failures


@torch.inference_mode()
def encode_texts(
    model: JointEmbedding,
    texts: Sequence[str],
    word_vectors: TokenVectors,
    batch_size: int = TEXT_BATCH,
    first_sentence: bool = False,
    quiet: bool = False,
) -> Tensor:
    """Embed texts as unit rows (N, D) on the CPU, and log the share of unknown words.

    ``quiet`` leaves out the progress bar and that line, for a call out of another loop. Texts that
    were too long for their source of vectors are warned of.

    Raises:
        ValueError: if a text has no word, or its embedding is not finite; the text is named.
    """
    device = next(model.parameters()).device
    embeddings, count = [], TokenCount()
    starts = range(0, len(texts), batch_size)
    for start in tqdm(starts, unit="batch", desc="texts", disable=quiet or None):
        batch = texts[start : start + batch_size]
        found = required(word_vectors.vectors_of(batch, first_sentence))
        count.add(found)
        vectors, lengths = pad_texts([text.vectors for text in found])
        encoded = model.encode_text(vectors.to(device), lengths).cpu()
        for text, finite in zip(batch, encoded.isfinite().all(dim=1).tolist(), strict=True):
            if not finite:
                raise ValueError(f"the embedding of the text {text!r} is not finite")
        embeddings.append(encoded)
    count.tell(logger, quiet)
    return torch.cat(embeddings) if embeddings else torch.empty(0, model.config.embedding_dim)


def text_kernels(
    model: JointEmbedding, word_vectors: TokenVectors, components: int, first_sentence: bool = False
) -> Callable[[list[str]], Tensor]:
    """Make what turns M texts into localisation kernels (M, D), on the model's device."""
    device = next(model.parameters()).device

    def kernels(texts: list[str]) -> Tensor:
        options = {"first_sentence": first_sentence, "quiet": True}
        embeddings = encode_texts(model, texts, word_vectors, **options)
        return model.localization_kernels(embeddings.to(device), components)

    return kernels


def encode_pairs(
    model: JointEmbedding,
    images: Sequence[CaptionedImage],
    word_vectors: TokenVectors,
    image_size: int,
    batch_size: int,
    workers: int = 0,
    first_sentence: bool = False,
    features: Features | None = None,
    embedded: list[CaptionedImage] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Embed images, each once, and their captions; images that cannot be are left out with theirs.

    Several processes share the work, and each gets all of the result. What the trunk makes of the
    images is not computed if it is given as ``features``; ``embedded`` gets those not left out.

    Returns:
        Image embeddings (N, D), caption embeddings (M, D) and the row (M,) of each caption's
        image: the arguments of ``misc.evaluation.retrieval.retrieval_metrics``.

    Raises:
        ValueError: if no image can be embedded, or a caption has no word or no finite embedding.
    """
    own = torch.tensor(own_share(len(images), batch_size), dtype=torch.long)
    paths = [images[index].path for index in own.tolist()]
    batches = embed_image_files(model, paths, image_size, batch_size, workers)
    if features is not None:
        batches = embed_features(model, features, own.tolist(), batch_size)
    embeddings, rows, failures = _collect(batches, paths, model.config.embedding_dim)
    embeddings, kept = in_order(embeddings, own[rows])
    if not len(kept):
        reason = next(reason for reason in gather_objects([*failures[:1]]) if reason)[0].reason
        raise ValueError(f"none of the {len(images)} images can be embedded: {reason}")
    read = [images[index] for index in kept.tolist()]
    if embedded is not None:
        embedded += read
    counts = torch.tensor([len(image.captions) for image in read])
    captions = [caption for image in read for caption in image.captions]
    caption_embeddings = _encode_shared(model, captions, word_vectors, first_sentence)
    return embeddings, caption_embeddings, torch.arange(len(read)).repeat_interleave(counts)


def _encode_shared(
    model: JointEmbedding, texts: Sequence[str], word_vectors: TokenVectors, first_sentence: bool
) -> Tensor:
    """Embed texts (N, D), each process its share of them."""
    places = own_share(len(texts), TEXT_BATCH)
    own = [texts[place] for place in places]
    encoded = encode_texts(model, own, word_vectors, first_sentence=first_sentence)
    return in_order(encoded, torch.tensor(places, dtype=torch.long))[0]
