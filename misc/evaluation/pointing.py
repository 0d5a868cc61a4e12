"""Play the pointing game: which phrases' heat maps peak inside their boxes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from misc.data.region_images import RegionImage
from misc.evaluation.localization import both_peaks, kernel_heat_maps, peaks, points_in_boxes
from misc.evaluation.presence import MOST_IMAGES
from misc.inference.batches import MappedBatch, map_image_files, share_alike
from misc.inference.encode import text_kernels
from misc.runtime.distributed import gather_lists, in_order, own_share
from misc.words.token_vectors import TokenVectors
from models.joint_embedding import JointEmbedding

# What is scored, in the order of the columns of the hits.
POINTS = (
    "pointing_game",
    "pointing_game/published",
    "pointing_game/smoothed",
    "pointing_game/largest_box",
    "centre_baseline",
    "centre_baseline/largest_box",
)

logger = logging.getLogger(__name__)


class Scores(NamedTuple):
    """Of R phrases, or of those of one image."""

    hits: Tensor  # (R, P), one column for each of ``POINTS``
    # (R, 2, 2), the highest cells and those of the smoothed maps, x and y in pixels; NaN where a
    # phrase points nowhere.
    peaks: Tensor


class Game(NamedTuple):
    """What all processes scored: R phrases."""

    scores: Scores
    numbers: Tensor  # (R,), the place of each among the phrases of all images, in order
    unreadable: list[int]  # places of the images that could not be read, in order
    embeddings: Tensor  # (N, D), of those among the first ``MOST_IMAGES`` that could be read
    places: Tensor  # (N,), theirs, in order


def play(
    model: JointEmbedding,
    word_vectors: TokenVectors,
    images: Sequence[RegionImage],
    image_size: int,
    components: int,
    sigma: float,
    affinity: float,
    batch_size: int = 8,
    workers: int = 0,
    first_sentence: bool = False,
) -> Game:
    """Play the game with all processes; each image is encoded once, and its maps are not kept.

    Args:
        model: in eval mode, on its device.
        word_vectors: of its texts' words.
        images: those without a file are passed over.
        image_size: side of the square that images are squeezed to, in pixels.
        components: how many of a phrase's components count.
        sigma: of the smoothed peak, as a share of the map's sides.
        affinity: of ``share_alike``, for all peaks but the published.
        batch_size: images in a batch.
        workers: threads that read images; 0 reads them in this one.
        first_sentence: True embeds only the first sentence of a phrase.
    """
    readable = [place for place, image in enumerate(images) if image.path]
    places = [readable[place] for place in own_share(len(readable), batch_size)]
    asked = [images[place] for place in places]
    files = [image.path for image in asked if image.path]
    kept: dict[int, Tensor] = {}
    mapped = map_image_files(model, files, image_size, batch_size, workers, affinity=0)

    kernels = text_kernels(model, word_vectors, components, first_sentence)
    scored = score_images(asked, _keeping(mapped, places, kept), kernels, sigma, affinity)
    game = _gather(images, ((places[index], scores) for index, scores in scored))
    rows = [torch.empty(0, model.config.embedding_dim), *kept.values()]
    return Game(*game, *in_order(torch.cat(rows), torch.tensor([*kept], dtype=torch.long)))


def _keeping(
    batches: Iterable[MappedBatch], places: Sequence[int], kept: dict[int, Tensor]
) -> Iterator[MappedBatch]:
    """Pass batches on, and keep the embeddings of the first images by their places."""
    for batch in batches:
        for index, embedding in zip(batch.indices, batch.embeddings.float().cpu(), strict=True):
            if places[index] < MOST_IMAGES:
                kept[places[index]] = embedding[None]
        yield batch


def score_images(
    images: Sequence[RegionImage],
    batches: Iterable[MappedBatch],
    kernels: Callable[[list[str]], Tensor],
    sigma: float,
    affinity: float = 0.0,
) -> Iterator[tuple[int, Scores | None]]:
    """Score image by image; their maps live only as long as their batch.

    Args:
        images: all of them.
        batches: maps of all images, not shared.
        kernels: turns M texts into localisation kernels (M, D).
        sigma: of the smoothed peak, as a share of the map's sides.
        affinity: of ``share_alike``, for all peaks but the published.

    Yields:
        The place of an image and the scores of its phrases; ``None`` if it could not be read.
    """
    for indices, _, maps, failures in batches:
        for failure in failures:
            logger.warning("left out: %s", failure.reason)
            yield failure.index, None
        if not indices:
            continue
        phrases = [spoken_phrases(images[index]) for index in indices]
        weights = kernels([text for group in phrases for text in group])
        groups = weights.split([len(group) for group in phrases])
        shared = share_alike(maps, affinity)
        for index, plain, alike, group in zip(indices, maps, shared, groups, strict=True):
            published = kernel_heat_maps(plain, group).cpu()
            heat = kernel_heat_maps(alike, group).cpu() if affinity else published
            yield index, score_regions(images[index], heat, published, sigma)


def score_regions(image: RegionImage, heat: Tensor, published: Tensor, sigma: float) -> Scores:
    """Say what hits the boxes of an image.

    Args:
        image: with R phrases.
        heat: (S, h, w), the heat maps of its phrases that are not blank.
        published: the same as of Eq. 9, before maps are shared.
        sigma: of the smoothed peak, as a share of the map's sides.

    Returns:
        The scores of the R phrases; a blank one points nowhere and misses.
    """
    spoken = torch.tensor([bool(phrase.strip()) for phrase in image.phrases])
    points = torch.full((len(spoken), 3, 2), float("nan"))
    points[spoken, :2] = both_peaks(heat, image.size, sigma)
    points[spoken, 2] = peaks(published, image.size, corner=True)
    highest, middle, corner = points.unbind(dim=1)
    centre = torch.tensor(image.size).div(2).expand(len(spoken), 2)
    is_largest = largest_boxes(image)

    def hit(points: Tensor, of_largest: bool = False) -> Tensor:
        inside = points_in_boxes(points[image.phrase_of_box], image.boxes)
        return any_of_phrase(image, inside & is_largest if of_largest else inside)

    columns = [hit(highest), hit(corner), hit(middle), hit(highest, True), hit(centre)]
    return Scores(torch.stack([*columns, hit(centre, True)], dim=1), points[:, :2])


def any_of_phrase(image: RegionImage, boxes: Tensor) -> Tensor:
    """Say for each phrase (R,) whether something holds for any of its boxes (B,)."""
    return torch.zeros(len(image.phrases)).index_add(0, image.phrase_of_box, boxes.float()) > 0


def largest_boxes(image: RegionImage) -> Tensor:
    """Say which boxes (B,) are the largest of their phrase, the first of equally large ones."""
    if len(image.boxes) == len(image.phrases):
        return torch.ones(len(image.boxes), dtype=torch.bool)
    areas = image.boxes[:, 2:].prod(dim=1)
    order = areas.argsort(descending=True, stable=True)
    largest = torch.zeros(len(areas), dtype=torch.bool)
    seen: set[int] = set()
    for place, phrase in zip(order.tolist(), image.phrase_of_box[order].tolist(), strict=True):
        largest[place] = phrase not in seen
        seen.add(phrase)
    return largest


def spoken_phrases(image: RegionImage) -> list[str]:
    """Return the phrases of an image that are not blank."""
    return [phrase for phrase in image.phrases if phrase.strip()]


def _gather(
    images: Sequence[RegionImage], scored: Iterable[tuple[int, Scores | None]]
) -> tuple[Scores, Tensor, list[int]]:
    """Collect what all processes scored, each its own images, by their places."""
    first = torch.tensor([0, *(len(image.phrases) for image in images)]).cumsum(dim=0)
    hits, peaks = [torch.empty(0, len(POINTS)).bool()], [torch.empty(0, 2, 2)]
    numbers = [torch.empty(0, dtype=torch.long)]
    unreadable: list[int] = []
    for place, scores in scored:
        if scores is None:
            unreadable.append(place)
            continue
        hits.append(scores.hits)
        peaks.append(scores.peaks)
        numbers.append(torch.arange(int(first[place]), int(first[place + 1])))
    own = torch.cat(numbers)
    all_hits, all_numbers = in_order(torch.cat(hits), own)
    all_peaks, _ = in_order(torch.cat(peaks), own)
    return Scores(all_hits, all_peaks), all_numbers, sorted(gather_lists(unreadable))
