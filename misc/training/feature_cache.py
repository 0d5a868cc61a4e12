"""Maps of a frozen trunk, computed once and kept on disk: an epoch costs a tenth without it."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from misc.data.images import image_loader
from misc.data.transforms import evaluation_transform
from misc.inference.acceleration import accelerate
from misc.runtime.distributed import main_first
from misc.runtime.files import replacing
from models.joint_embedding import JointEmbedding

BATCH = 32

logger = logging.getLogger(__name__)


class FeatureCache:
    """The trunk's maps of N images and of their mirror images, float16, memory-mapped.

    Args:
        folder: with ``maps.npy``, (N, 2, C, h, w), and ``failures.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.maps = np.load(folder / "maps.npy", mmap_mode="r")
        failures = json.loads((folder / "failures.json").read_text(encoding="utf-8"))
        self.failures = {int(index): reason for index, reason in failures.items()}

    def load(self, index: int, mirrored: bool) -> Tensor:
        """Read the maps of an image, (C, h, w).

        Raises:
            ValueError: if the image could not be read when they were computed.
        """
        if index in self.failures:
            raise ValueError(self.failures[index])
        return torch.from_numpy(self.maps[index, int(mirrored)].copy())


def cached_features(
    model: JointEmbedding, paths: Sequence[Path], folder: Path, workers: int
) -> FeatureCache:
    """Open the maps of images, squeezed to the model's input size; compute them if need be.

    Args:
        model: whose trunk is frozen.
        paths: image files.
        folder: of all caches; each has a name of its own that changes with the trunk's weights, the
            size, the normalisation, and the names, sizes and times of the files.
        workers: processes that read images.
    """
    folder = folder / _key(model, paths)
    with main_first():
        if not (folder / "maps.npy").exists():
            _compute(model, paths, folder, workers)
    return FeatureCache(folder)


def _key(model: JointEmbedding, paths: Sequence[Path]) -> str:
    config = model.config
    settings = config.backbone, config.stages, config.input_size, config.image_statistics
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in model.image_encoder.trunk.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy())
    for path in paths:
        status = path.stat() if path.exists() else None
        described = (status.st_size, status.st_mtime_ns) if status else None
        digest.update(json.dumps([str(path.absolute()), described]).encode())
    return digest.hexdigest()[:20]


@torch.inference_mode()
def _compute(model: JointEmbedding, paths: Sequence[Path], folder: Path, workers: int) -> None:
    fast, config = accelerate(model), model.config
    trunk, device = fast.image_encoder.trunk, next(fast.parameters()).device
    side = -(-config.input_size // fast.image_encoder.stride)
    shape = (len(paths), 2, fast.image_encoder.channels, side, side)
    folder.mkdir(parents=True, exist_ok=True)
    logger.info("features of %d images: %.1f GB in %s", len(paths), np.prod(shape) * 2e-9, folder)
    failures: dict[int, str] = {}
    transform = evaluation_transform(config.input_size, config.image_statistics)
    with (
        replacing(folder / "maps.npy") as temporary,
        tqdm(total=len(paths), unit="image", desc="features", disable=None) as bar,
    ):
        maps = np.lib.format.open_memmap(temporary, "w+", dtype=np.float16, shape=shape)
        for batch in image_loader(paths, transform, BATCH, workers):
            failures |= {failure.index: failure.reason for failure in batch.failures}
            bar.update(len(batch.indices) + len(batch.failures))
            images = batch.images.to(device, memory_format=torch.channels_last)
            for view in (0, 1) if batch.indices else ():
                found = trunk(images.flip(3) if view else images)
                maps[batch.indices, view] = found.clamp(-65504, 65504).half().cpu().numpy()
        maps.flush()
        with replacing(folder / "failures.json") as listed:
            listed.write_text(json.dumps(failures), encoding="utf-8")
