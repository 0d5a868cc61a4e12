"""How well similarity tells what is in an image from what is not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from misc.data.region_images import RegionImage
from misc.evaluation.pointing import Game
from misc.evaluation.presence import ABSENT, percentiles, roc_area
from misc.inference.encode import encode_texts
from misc.words.token_vectors import TokenVectors
from models.joint_embedding import JointEmbedding


def measure_presence(
    model: JointEmbedding,
    word_vectors: TokenVectors,
    images: Sequence[RegionImage],
    game: Game,
    reference: Tensor | None,
    all_phrases: bool,
    first_sentence: bool = False,
) -> dict[str, Any]:
    """Do what ``presence_results`` does with the first images of a game that was played."""

    def embed(phrases: list[str]) -> Tensor:
        return encode_texts(model, phrases, word_vectors, first_sentence=first_sentence)

    seen = [images[place] for place in game.places.tolist()]
    return presence_results(seen, game.embeddings, embed, reference, all_phrases)


def asked_of_each(
    images: Sequence[RegionImage], all_phrases: bool
) -> Iterator[tuple[list[str], list[str]]]:
    """Give, for each image, phrases of what is there and of what is taken not to be.

    Args:
        images: with the phrases of what they show.
        all_phrases: True where an image shows none of the others' phrases but its own, as with
            categories; else those of the next image stand for what is not there, although some may
            be by chance.
    """
    together = sorted({phrase for image in images for phrase in image.phrases})
    for image, following in zip(images, [*images[1:], *images[:1]], strict=True):
        own = {phrase.lower() for phrase in image.phrases}
        others = together if all_phrases else following.phrases
        there = [phrase for phrase in image.phrases if phrase.strip()]
        yield there, [phrase for phrase in others if phrase.strip() and phrase.lower() not in own]


def presence_results(
    images: Sequence[RegionImage],
    embeddings: Tensor,
    embed: Callable[[list[str]], Tensor],
    reference: Tensor | None,
    all_phrases: bool,
) -> dict[str, Any]:
    """Measure how well what is there can be told from what is not.

    Args:
        images: N of them.
        embeddings: (N, D), theirs.
        embed: turns M phrases into embeddings (M, D).
        reference: (R, D), embeddings of the images of reference; ``None`` if there are none.
        all_phrases: as for ``asked_of_each``.

    Returns:
        ``roc_area`` of similarities and ``roc_area/percentile`` of their percentiles, 0 to 1;
        how many phrases were ``phrases_there`` and ``phrases_not_there``; and what share of both,
        in percent, is ``called_absent``. What needs images of reference is left out without them.
    """
    asked = list(asked_of_each(images, all_phrases))
    columns = _scores(asked, embeddings, embed, reference)
    similarities, percents, found = columns[:, 0], columns[:, 1], columns[:, 2].bool()
    results = {
        "roc_area": roc_area(similarities, found),
        "phrases_there": int(found.sum()),
        "phrases_not_there": int((~found).sum()),
    }
    if reference is None:
        return results
    absent = (percents < ABSENT).double() * 100
    return results | {
        "roc_area/percentile": roc_area(percents, found),
        "called_absent/there": absent[found].mean().item(),
        "called_absent/not_there": absent[~found].mean().item(),
    }


def _scores(
    asked: Sequence[tuple[list[str], list[str]]],
    embeddings: Tensor,
    embed: Callable[[list[str]], Tensor],
    reference: Tensor | None,
) -> Tensor:
    """Compute for each question its similarity, its percentile, and 1 if it is there: (Q, 3)."""
    texts = sorted({phrase for both in asked for group in both for phrase in group})
    rows = {text: row for row, text in enumerate(texts)}
    embedded = embed(texts)
    columns = [torch.empty(0, 3)]
    for embedding, (there, not_there) in zip(embeddings, asked, strict=True):
        chosen = embedded[[rows[phrase] for phrase in (*there, *not_there)]]
        percents = percentiles(embedding[None], chosen, reference)[0]
        present = torch.arange(len(chosen)) < len(there)
        columns.append(torch.stack([chosen @ embedding, percents, present], dim=1))
    return torch.cat(columns)


def format_presence(results: dict[str, Any]) -> list[str]:
    """Lay out in a few lines what ``presence_results`` found; none if there was nothing to find."""
    there, not_there = results["phrases_there"], results["phrases_not_there"]
    if not there or not not_there:
        return []
    lines = [
        f"is it there? of {there} phrases of what is and {not_there} of what is not",
        f"{'area under ROC, similarity':<28}{results['roc_area']:>12.3f}",
    ]
    if "roc_area/percentile" not in results:
        return [*lines, "percentile: unknown, the model keeps no images of reference"]
    called = (results[f"called_absent/{kind}"] for kind in ("there", "not_there"))
    shares = ", ".join(f"{share:.1f}" for share in called)
    return [
        *lines,
        f"{'area under ROC, percentile':<28}{results['roc_area/percentile']:>12.3f}",
        f"{'called absent, in percent':<28}{shares:>12} of these",
    ]
