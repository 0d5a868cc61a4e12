"""Images in WebDataset tars, local or wherever fsspec reaches."""

import dataclasses
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import braceexpand
import fsspec
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset
from webdataset.tariterators import group_by_keys, tar_file_expander

from misc.data.image_files import IMAGE_SUFFIXES
from misc.data.transforms import load_image
from misc.runtime.failures import Failure, apart
from misc.runtime.loaders import loader, pixel_bytes

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def find_tars(sources: Sequence[str]) -> list[str]:
    """List the tars that are meant, braces expanded ("{000..099}.tar"); none if none is a tar.

    Raises:
        ValueError: if some sources are tars and others are not.
    """
    tars = [url for source in sources for url in braceexpand.braceexpand(source)]
    other = [url for url in tars if not url.endswith(TAR_SUFFIXES)]
    if len(other) == len(tars):
        return []
    if other:
        raise ValueError(f"tars cannot be mixed with folders and files: {other[0]} is no tar")
    return tars


@dataclasses.dataclass
class TarBatch:
    """Images of a tar that could be read, and those that could not."""

    names: list[str]
    images: Tensor  # (B, 3, H, W), normalised
    failures: list[Failure]


class Broken(str):
    """Why the rest of a tar cannot be read."""


class TarImages(IterableDataset["tuple[str, Tensor] | Failure | Broken"]):
    """The images of one tar in its order: the first file of each sample that is an image."""

    def __init__(self, url: str, transform: Callable[[Image.Image], Tensor]) -> None:
        self.url = url
        self.transform = transform

    def __iter__(self) -> Iterator[tuple[str, Tensor] | Failure | Broken]:
        try:
            with fsspec.open(self.url, "rb") as stream:
                files = tar_file_expander([{"url": self.url, "stream": stream}])
                for index, sample in enumerate(group_by_keys(files)):
                    yield self._image(index, sample)
        except (OSError, tarfile.TarError, EOFError, ImportError, ValueError) as error:
            yield Broken(f"cannot read {self.url}: {error.args[0] if error.args else error}")

    def _image(self, index: int, sample: dict[str, Any]) -> tuple[str, Tensor] | Failure:
        name = f"{PurePosixPath(self.url).name}/{sample['__key__']}"
        kinds = [suffix[1:] for suffix in IMAGE_SUFFIXES if suffix[1:] in sample]
        if not kinds:
            return Failure(index, name, f"{name}: no image ({' '.join(IMAGE_SUFFIXES)})")
        try:
            return name, self.transform(load_image(io.BytesIO(sample[kinds[0]]), name))
        except ValueError as error:
            return Failure(index, name, str(error))


def _collate(items: list[tuple[str, Tensor] | Failure | Broken]) -> TarBatch | Broken:
    usable: list[tuple[str, Tensor] | Failure] = []
    for item in items:
        if isinstance(item, Broken):
            return item
        usable.append(item)
    read, failures = apart(usable)
    images = torch.stack([image for _, image in read]) if read else torch.empty(0, 3, 1, 1)
    return TarBatch([name for name, _ in read], images, failures)


def tar_batches(
    url: str,
    transform: Callable[[Image.Image], Tensor],
    batch_size: int,
    workers: int,
    image_size: int,
    device: torch.device,
) -> Iterator[TarBatch]:
    """Load the images of a tar in batches; names are the tar's and the key within it.

    Args:
        url: a path, or whatever fsspec opens, such as "s3://bucket/000.tar".
        transform: of each image.
        batch_size: images in a batch.
        workers: 0 reads in this process, more in one other: a tar is read from front to back.
        image_size: side of what ``transform`` gives, in pixels.
        device: where batches go.

    Raises:
        ValueError: if the tar is missing, cut off or none; the message names it.
    """
    dataset, size = TarImages(url, transform), batch_size * pixel_bytes(image_size)
    for batch in loader(dataset, min(workers, 1), device, _collate, size, batch_size=batch_size):
        if isinstance(batch, Broken):
            raise ValueError(str(batch))
        yield batch
