"""Images to embeddings and maps, batch by batch: memory does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from misc.data.images import ImageBatch, image_loader
from misc.data.tars import tar_batches
from misc.data.training_dataset import Features
from misc.data.transforms import evaluation_transform
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.finite import apart_finite
from models.joint_embedding import JointEmbedding

MUCH_LARGER = 1.5  # than the model's input size


class MappedBatch(NamedTuple):
    """Embeddings and maps of a batch of images, on the model's device."""

    indices: list[int]  # places of the images in the list of files
    embeddings: Tensor  # (B, D), unit rows
    maps: Tensor  # (B, D, h, w), not projected
    failures: list[Failure]  # files that could not be read, or whose maps are not finite


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
    loader = image_loader(paths, transform, batch_size, workers, device)
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
        workers: threads that read images; 0 reads them in this one.

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
def embed_features(
    model: JointEmbedding, features: Features, places: Sequence[int], batch_size: int
) -> Iterator[tuple[list[int], Tensor, list[Failure]]]:
    """Do what ``embed_image_files`` does, from what the trunk made of the images before.

    Args:
        model: in eval mode, on its device.
        features: of more images.
        places: of those that are embedded.
        batch_size: images in a batch.
    """
    device = next(model.parameters()).device

    def load(index: int) -> tuple[int, Tensor]:
        return index, features.load(places[index])

    for start in range(0, len(places), batch_size):
        indices = range(start, min(start + batch_size, len(places)))
        read, failures = apart(
            read_item(index, f"image {places[index]}", partial(load, index)) for index in indices
        )
        embeddings = torch.empty(0, model.config.embedding_dim)
        if read:
            maps = torch.stack([maps for _, maps in read])
            embeddings = model.encode_image(maps.to(device)).cpu()
        yield [index for index, _ in read], embeddings, failures


@torch.inference_mode()
def embed_tar(
    model: JointEmbedding, url: str, image_size: int, batch_size: int, workers: int = 0
) -> Iterator[tuple[list[int], list[str], Tensor, list[Failure]]]:
    """Embed the images of a WebDataset tar batch by batch.

    Yields:
        Places in the tar, names, embeddings (B, D) on the CPU, and the images that could not be
        read.

    Raises:
        ValueError: if the tar cannot be read to its end; the message names it.
    """
    device = next(model.parameters()).device
    transform = evaluation_transform(image_size, model.config.image_statistics)
    with tqdm(unit="image", desc=url, disable=None) as bar:
        for batch in tar_batches(url, transform, batch_size, workers, image_size, device):
            bar.update(len(batch.names) + len(batch.failures))
            embeddings = torch.empty(0, model.config.embedding_dim)
            if batch.names:
                embeddings = model.encode_image(batch.images.to(device)).cpu()
            yield batch.places, batch.names, embeddings, batch.failures


def embed_sample(
    model: JointEmbedding, paths: Sequence[Path], image_size: int, count: int = 16
) -> Tensor:
    """Embed a few image files, spread over the list: (S, D); those that can be read, maybe none."""
    sample = paths[:: max(1, len(paths) // count)][:count]
    return torch.cat([rows for _, rows, _ in embed_image_files(model, sample, image_size, count)])


def share_alike(maps: Tensor, affinity: float) -> Tensor:
    """Let each location of maps (B, D, h, w) be the mean of all, as they are like it.

    Not in the paper: self-attention of the locations, as unit vectors, without any weights to
    learn. Heat maps of shared maps fill the things that they find, and lose what stands alone.

    Args:
        maps: not projected.
        affinity: factor on the cosines in the softmax; 0 leaves the maps as they are.
    """
    if not affinity:
        return maps
    locations = F.normalize(maps.flatten(2).transpose(1, 2), dim=2)  # (B, h * w, D)
    shared = F.scaled_dot_product_attention(locations, locations, locations, scale=affinity)
    return shared.transpose(1, 2).reshape(maps.shape)


def embed_and_map(
    model: JointEmbedding, images: Tensor, affinity: float | None = None
) -> tuple[Tensor, Tensor]:
    """Embed images (B, 3, H, W) and keep their maps G: (B, D), (B, D, h, w).

    Images that are much larger than the model takes them for retrieval are embedded at that size,
    as pooling k locations means something else on maps of many more. Their maps are the mean of
    those of both sizes: at the larger one small things are seen better, at the smaller one large.

    Args:
        model: in eval mode.
        images: normalised.
        affinity: of ``share_alike``; ``None`` is the model's own.
    """
    embeddings, maps = model.encode_image_with_maps(images)
    side = model.config.input_size
    if images.shape[3] >= MUCH_LARGER * side:
        smaller = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        embeddings, coarse = model.encode_image_with_maps(smaller)
        maps = (maps + F.interpolate(coarse, maps.shape[2:], mode="bilinear")) / 2
    own = model.config.localization_affinity
    return embeddings, share_alike(maps, own if affinity is None else affinity)


@torch.inference_mode()
def map_image_files(
    model: JointEmbedding,
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    workers: int = 0,
    affinity: float | None = None,
) -> Iterator[MappedBatch]:
    """Do ``embed_and_map`` to image files; other arguments as for ``embed_image_files``."""
    compute = partial(embed_and_map, model, affinity=affinity)
    for batch, computed in _each_batch(model, compute, paths, image_size, batch_size, workers):
        if computed is None:
            nothing = torch.empty(0, model.config.embedding_dim)
            yield MappedBatch([], nothing, nothing, batch.failures)
            continue
        embeddings, maps = computed
        names = [str(paths[index]) for index in batch.indices]
        kept, failures = apart_finite(maps, batch.indices, names, "activation maps are")
        if failures:
            embeddings, maps = embeddings[kept], maps[kept]
        indices = [batch.indices[row] for row in kept]
        yield MappedBatch(indices, embeddings, maps, batch.failures + failures)
