"""Readers of the published annotation formats; nothing else knows them."""

import collections
from collections.abc import Collection

from misc.data.captioned_images import CaptionedImage, NoImagesError
from misc.data.json_files import _format_of, read_json
from misc.data.own_captions import read_caption_file
from misc.data.paths import DataPaths


def read_captions(paths: DataPaths, splits: Collection[str]) -> list[CaptionedImage]:
    """Read the images of some splits from Karpathy's ``dataset.json``, in the file's order.

    Captions of one's own are read by ``misc.data.own_captions`` instead.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not in Karpathy's format, has no image in these splits, or one of
            their captions has no word; hours of encoding would end there.
    """
    if paths.dataset == "captions":
        return read_caption_file(paths.own_captions, paths.own_images, splits)
    file = paths.existing(paths.split_file)
    with _format_of(file, "Karpathy's splits"):
        entries = read_json(file)["images"]
        counts = collections.Counter(entry["split"] for entry in entries)
        images = [
            CaptionedImage(
                image_id=entry.get("cocoid", entry["imgid"]),
                path=paths.images / entry.get("filepath", "") / entry["filename"],
                captions=tuple(sentence["raw"] for sentence in entry["sentences"]),
            )
            for entry in entries
            if entry["split"] in splits
        ]
    if not images:
        present = ", ".join(f"{split} ({count})" for split, count in counts.items())
        raise NoImagesError(
            f"{file} has no image in {' or '.join(splits)}; it has {present or 'none'}"
        )
    for image in images:
        for caption in image.captions:
            if not caption.strip():
                raise ValueError(
                    f"{file}: the caption {caption!r} of image {image.image_id} "
                    f"({image.path.name}) has no word; take it out"
                )
    return images
