"""Maps of a frozen trunk, computed once and kept on disk: an epoch costs a tenth without it."""

import contextlib
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from misc.data.images import image_loader
from misc.data.transforms import Views, views_of
from misc.inference.acceleration import accelerate
from misc.runtime.distributed import gather_objects, is_main, main_first, own_share
from misc.runtime.files import replacing, reserve
from misc.runtime.locks import locked
from models.backbones import trunk_parts
from models.joint_embedding import JointEmbedding

BATCH = 8  # images at a time: more need more memory, and are not faster
CACHES = "features"  # the folder of all caches, beside the runs
MAPS, DONE, FAILURES = "maps.npy", "done.npy", "failures.json"  # of a cache

logger = logging.getLogger(__name__)


class FeatureCache:
    """What a frozen trunk, or its first parts, made of V views of each of N images.

    Maps are float16, memory-mapped; the first view is the whole image.

    Args:
        folder: with ``maps.npy``, (N, V, C, h, w), and ``failures.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maps = np.load(folder / MAPS, mmap_mode="c")  # tensors want to be writable
        failures = json.loads((folder / FAILURES).read_text(encoding="utf-8"))
        self.failures = {int(index): reason for index, reason in failures.items()}

    @property
    def views(self) -> int:
        """Count the views of an image."""
        return int(self.maps.shape[1])

    def load(self, index: int, view: int = 0) -> Tensor:
        """Map the maps of an image, (C, h, w), which are read when they are used.

        Raises:
            ValueError: if the image could not be read when they were computed.
        """
        if index in self.failures:
            raise ValueError(self.failures[index])
        return torch.from_numpy(self.maps[index, view])


def cached_features(
    model: JointEmbedding,
    paths: Sequence[Path],
    folder: Path,
    workers: int,
    precision: str = "float32",
    views: Views | None = None,
) -> FeatureCache:
    """Open the maps of images, squeezed to the model's input size; compute them if need be.

    All processes share the work, and what was computed before the program was stopped or killed is
    not computed again.

    Args:
        model: whose trunk is frozen, or its first parts are.
        paths: image files.
        folder: of all caches; each has a name of its own that changes with the trunk's weights, the
            size, the normalisation, and the names, sizes and times of the files.
        workers: threads that read images.
        precision: that they are computed in, as for ``accelerate``.
        views: of each image; ``None``: the whole of it alone.

    Raises:
        OSError: if the disk has no space for them.
    """
    views = views or Views()
    folder = folder / _key(model, paths, views, precision)
    alone = locked(folder, wait=True) if is_main() else contextlib.nullcontext()
    with alone:
        if not _is_whole(folder):
            _compute(accelerate(model, precision), paths, folder, workers, views)
    return FeatureCache(folder)


def _is_whole(folder: Path) -> bool:
    """Say whether a cache has all maps, the same in all processes."""
    with main_first():  # who may have waited for another program
        return (folder / FAILURES).exists()


def _key(model: JointEmbedding, paths: Sequence[Path], views: Views, precision: str) -> str:
    config = model.config
    size, statistics = config.input_size, config.image_statistics
    settings = views, precision, config.backbone, config.stages, size, statistics
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in frozen_part(model).state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy())
    for path in paths:
        status = path.stat() if path.exists() else None
        described = (status.st_size, status.st_mtime_ns) if status else None
        digest.update(json.dumps([str(path.absolute()), described]).encode())
    return digest.hexdigest()[:20]


def frozen_part(model: JointEmbedding) -> nn.Module:
    """Take the part of the trunk that never trains."""
    trunk, count = model.image_encoder.trunk, model.image_encoder.frozen_parts
    return trunk if count is None else nn.Sequential(*trunk_parts(trunk)[:count])


@torch.inference_mode()
def _compute(
    model: JointEmbedding, paths: Sequence[Path], folder: Path, workers: int, views: Views
) -> None:
    trunk, config = frozen_part(model), model.config
    weight, side = model.image_encoder.convolution.weight, config.input_size
    with main_first():
        if is_main() and not (folder / DONE).exists():
            shape = trunk(weight.new_zeros(1, 3, side, side)).shape[1:]
            _reserve(folder, (len(paths), views.number, *shape))
    maps, done = (np.load(folder / name, mmap_mode="r+") for name in (MAPS, DONE))
    own = [place for place in own_share(len(paths), BATCH) if not done[place]]
    failures: dict[int, str] = {}
    squares: dict[str, Any] = {"size": side, "views": views, "statistics": config.image_statistics}
    transforms = [partial(views_of, seed=place, **squares) for place in own]
    files = [paths[place] for place in own]
    with tqdm(total=len(own), unit="image", desc="features", disable=None) as bar:
        for batch in image_loader(files, transforms, BATCH, workers, weight.device):
            failures |= {own[failure.index]: failure.reason for failure in batch.failures}
            bar.update(len(batch.indices) + len(batch.failures))
            places = [own[index] for index in batch.indices]
            for view in range(views.number) if places else ():
                images = batch.images[:, view].to(weight, memory_format=torch.channels_last)
                found = trunk(images)
                maps[places, view] = found.clamp(-65504, 65504).half().cpu().numpy()
            done[places] = True
    maps.flush()
    together = gather_objects(failures)
    if is_main():  # last, as it says that all is there
        listed = {str(place): reason for own in together for place, reason in own.items()}
        with replacing(folder / FAILURES) as temporary:
            temporary.write_text(json.dumps(listed), encoding="utf-8")


def _reserve(folder: Path, shape: tuple[int, ...]) -> None:
    """Make the file of the maps, with all the space that it needs, and that of what is done."""
    size = 2 * math.prod(shape)
    logger.info("features of %d images: %.1f GB in %s", shape[0], size * 1e-9, folder)
    np.lib.format.open_memmap(folder / MAPS, "w+", dtype=np.float16, shape=shape)
    reserve(folder / MAPS, size)
    np.lib.format.open_memmap(folder / DONE, "w+", dtype=np.bool_, shape=shape[:1])


def cache_users(runs: Path) -> dict[Path, list[str]]:
    """Find the caches beside the runs of a folder, each with the names of the runs that read it."""
    caches = {file.parent for file in (runs / CACHES).glob("*/*.npy")}  # of maps, or of states
    users: dict[Path, list[str]] = {cache: [] for cache in sorted(caches)}
    for file in sorted(runs.glob("*/features.json")):
        for name in json.loads(file.read_text(encoding="utf-8"))["caches"]:
            if (cache := runs / CACHES / name) in users:
                users[cache].append(file.parent.name)
    return users


def remove_cache(cache: Path) -> None:
    """Remove a cache, unless a program is at work in it.

    Raises:
        OSError: if one is.
    """
    with locked(cache):
        for file in (*cache.glob("*.json"), *cache.glob("*.npy")):
            file.unlink()
    shutil.rmtree(cache)
