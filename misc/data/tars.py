"""Images in WebDataset tars, local or wherever fsspec reaches."""

import dataclasses
import functools
import io
import itertools
import operator
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import braceexpand
import fsspec
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from misc.data.decoding import load_image
from misc.data.image_files import IMAGE_SUFFIXES, is_image
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.loaders import loader, pixel_bytes

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def find_tars(sources: Sequence[str]) -> list[str]:
    """List the tars that are meant, braces expanded ("{000..099}.tar"); none if none is a tar.

    What exists under a name with braces is meant as it is.

    Raises:
        ValueError: if some sources are tars and others are not.
    """
    urls = [url for source in sources for url in _expanded(source)]
    other = [url for url in urls if not _file_name(url).endswith(TAR_SUFFIXES)]
    if len(other) == len(urls):
        return []
    if other:
        raise ValueError(f"tars cannot be mixed with folders and files: {other[0]} is no tar")
    return urls


def _expanded(source: str) -> list[str]:
    if read_item(0, source, Path(source).exists) is True:  # many braces are too long for a path
        return [source]
    try:
        return list(braceexpand.braceexpand(source))
    except ValueError:  # braces that do not pair are part of the name
        return [source]


def _file_name(url: str) -> str:
    """Give the last part of a path, or of a URL without its query."""
    return PurePosixPath(urlsplit(url).path if "://" in url else url).name


def state_of_tar(url: str) -> str:
    """Describe a tar by what changes when it does, as far as its file system says so."""

    def look() -> str:
        system, path = fsspec.url_to_fs(url)
        about = system.info(path)
        keys = ("size", "mtime", "created", "ETag", "etag", "LastModified")
        return repr({key: about[key] for key in keys if key in about})

    found = read_item(0, url, look)
    return "" if isinstance(found, Failure) else found


@dataclasses.dataclass
class TarBatch:
    """Images of a tar that could be read, and those that could not."""

    places: list[int]  # of the images in the tar
    names: list[str]
    images: Tensor  # (B, 3, H, W), normalised
    failures: list[Failure]


TarItem = tuple[int, str, Tensor]  # place, name and pixels of an image
TarFile = tuple[str, str, Callable[[], bytes]]  # sample, rest of the name, and what reads it


class Broken(str):
    """Why the rest of a tar cannot be read."""


class TarImages(IterableDataset["TarItem | Failure | Broken"]):
    """The images of one tar in its order.

    Files of one sample follow each other and have the same name up to its first dot, as WebDataset
    has it. The first image is called by that name, a further one by its whole name.
    """

    def __init__(self, url: str, transform: Callable[[Image.Image], Tensor]) -> None:
        self.url = url
        self.transform = transform

    def __iter__(self) -> Iterator["TarItem | Failure | Broken"]:
        index = 0
        try:
            for sample, files in itertools.groupby(self._files(), key=operator.itemgetter(0)):
                name = f"{_file_name(self.url)}/{sample}"
                for item in self._images_of_sample(index, name, files):
                    yield item
                    index += 1
        except ValueError as error:  # of _files; what a single image raises is its own failure
            yield Broken(f"{error}")

    def _files(self) -> Iterator[TarFile]:
        """Give the files; whatever ends the tar, a server's refusal too, becomes one error."""
        members = self._members()
        while (file := read_item(0, self.url, lambda: next(members, None))) is not None:
            if isinstance(file, Failure):
                reason = file.reason.removeprefix(f"{self.url}: ")
                raise ValueError(f"cannot read {self.url}: {reason}")
            yield file

    def _members(self) -> Iterator[TarFile]:
        with (
            fsspec.open(self.url, "rb") as stream,
            tarfile.open(fileobj=stream, mode="r|*") as tar,
        ):
            for member in tar:
                if member.isdir() or member.name.startswith("__"):  # what tools say of the tar
                    continue
                folder, _, file = member.name.rpartition("/")
                stem, _, suffixes = file.partition(".")
                read = functools.partial(_content, tar, member)
                yield (f"{folder}/{stem}" if folder else stem), suffixes, read

    def _images_of_sample(
        self, index: int, name: str, files: Iterable[TarFile]
    ) -> Iterator["TarItem | Failure"]:
        found = 0
        for _, suffixes, read in files:
            if is_image(Path(f"a.{suffixes}")):
                shown, place = f"{name}.{suffixes}" if found else name, index + found
                yield read_item(place, shown, functools.partial(self._read, place, shown, read))
                found += 1
        if not found:
            yield Failure(index, name, f"{name}: no image ({' '.join(IMAGE_SUFFIXES)})")

    def _read(self, index: int, name: str, read: Callable[[], bytes]) -> "TarItem":
        return index, name, self.transform(load_image(io.BytesIO(read()), name))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise ValueError("it is no file but a link")
    return file.read()


def _collate(items: list["TarItem | Failure | Broken"]) -> TarBatch | Broken:
    usable: list[TarItem | Failure] = []
    for item in items:
        if isinstance(item, Broken):
            return item
        usable.append(item)
    read, failures = apart(usable)
    images = torch.stack([image for *_, image in read]) if read else torch.empty(0, 3, 1, 1)
    return TarBatch([item[0] for item in read], [item[1] for item in read], images, failures)


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
