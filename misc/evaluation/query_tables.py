"""Tables of one row a query: how a caption or an image was ranked, where a phrase pointed."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from misc.data.captioned_images import CaptionedImage
from misc.data.region_images import RegionImage
from misc.evaluation.pointing import POINTS, Game
from misc.evaluation.retrieval import DIRECTIONS, Ranking
from misc.runtime.tables import Columns, Row

RANK_COLUMNS: Columns = {
    "direction": str,  # "i2t" or "t2i"
    "fold": int,  # counted from 1
    "image_id": int,
    "image": str,  # its file
    "caption": int,  # of the image, counted from 1; none where the image is the query
    "text": str,  # of the caption
    "rank": int,  # counted from 1
    "first": str,  # what was found first: a caption, or the file of an image
}
HIT_COLUMNS: Columns = {
    "image_id": int,
    "image": str,  # its file
    "width": int,  # of the image that points and boxes are in, in pixels
    "height": int,
    "phrase_id": int,  # of its region, or of its category
    "phrase": str,
    "type": str,  # of what it names, several with a slash between them
    "x": float,  # of the highest cell, in pixels
    "y": float,
    "smoothed_x": float,  # of the highest cell of the smoothed map
    "smoothed_y": float,
    "distance": float,  # of the highest cell from the nearest box, as a share of the diagonal
    "boxes": str,  # as JSON, a list of x, y, width and height in pixels
    **dict.fromkeys(POINTS, bool),  # the mean of each is the figure of its name
}


def rank_rows(
    rankings: Sequence[Mapping[str, Ranking]], images: Sequence[CaptionedImage]
) -> Iterator[Row]:
    """Give a row of ``RANK_COLUMNS`` for each query.

    Args:
        rankings: of each fold.
        images: those that were ranked, with their captions, in order.
    """
    captions = [(image, place) for image in images for place in range(len(image.captions))]

    def text(row: int) -> str:
        image, place = captions[row]
        return image.captions[place]

    for fold, ranking in enumerate(rankings, start=1):
        for direction in DIRECTIONS:
            columns = (column.tolist() for column in ranking[direction])
            for query, rank, first in zip(*columns, strict=True):
                of_image = direction == "i2t"
                image, place = (images[query], None) if of_image else captions[query]
                yield {
                    "direction": direction,
                    "fold": fold,
                    "image_id": image.image_id,
                    "image": str(image.path),
                    "caption": None if place is None else place + 1,
                    "text": "" if of_image else text(query),
                    "rank": rank,
                    "first": text(first) if of_image else str(images[first].path),
                }


def hit_rows(game: Game, images: Sequence[RegionImage]) -> Iterator[Row]:
    """Give a row of ``HIT_COLUMNS`` for each phrase that was scored.

    Args:
        game: what was scored.
        images: all images of the game, in order.
    """
    counts = torch.tensor([len(image.phrases) for image in images])
    owners = torch.arange(len(images)).repeat_interleave(counts)
    first = counts.cumsum(dim=0) - counts
    for number, hits, peaks in zip(
        game.numbers.tolist(), game.scores.hits, game.scores.peaks, strict=True
    ):
        owner = int(owners[number])
        yield _hit_row(images[owner], number - int(first[owner]), hits, peaks)


def _hit_row(image: RegionImage, place: int, hits: Tensor, peaks: Tensor) -> Row:
    boxes = image.boxes[image.phrase_of_box == place]
    (x, y), (smoothed_x, smoothed_y) = peaks.tolist()
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    beside = torch.maximum(low - peaks[0], peaks[0] - high).clamp(min=0)  # (B, 2)
    distance = beside.norm(dim=1).min().item() / math.hypot(*image.size)
    return {
        "image_id": image.image_id,
        "image": str(image.path),
        "width": image.size[0],
        "height": image.size[1],
        "phrase_id": image.region_ids[place],
        "phrase": image.phrases[place],
        "type": "/".join(image.types[place]) if image.types else "",
        "x": x,
        "y": y,
        "smoothed_x": smoothed_x,
        "smoothed_y": smoothed_y,
        "distance": distance,
        "boxes": json.dumps(boxes.tolist()),
        **dict(zip(POINTS, hits.tolist(), strict=True)),
    }
