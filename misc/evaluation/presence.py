"""Whether a text is in an image at all, judged by images of reference."""

import torch
from torch import Tensor

MOST_IMAGES = 1000  # that are asked for what is not there, the first: little to remember
ABSENT = 80.0  # percent; what fits better than fewer images of reference is probably not there


def percentiles(images: Tensor, texts: Tensor, reference: Tensor | None) -> Tensor:
    """Say how well texts fit images, by the share of the images of reference that fit them less.

    Similarities of different texts cannot be compared: one is near to all images, the other to
    none. Their places among those of other images can.

    Args:
        images: (N, D), image embeddings.
        texts: (M, D), text embeddings.
        reference: (R, D), embeddings of the images of reference; ``None`` if there are none.

    Returns:
        (N, M), in percent, NaN if unknown; ties with images of reference count against the text.
    """
    if reference is None:
        return torch.full((len(images), len(texts)), float("nan"))
    similarities = texts @ images.T  # (M, N)
    ranked = (texts @ reference.to(texts).T).sort(dim=1).values  # (M, R)
    below = torch.searchsorted(ranked, similarities)
    return below.T * (100 / len(reference))


def roc_area(scores: Tensor, present: Tensor) -> float:
    """Area under the ROC curve: how often what is present scores higher than what is not.

    Args:
        scores: (N,), of any order.
        present: (N,), True where it is there.

    Returns:
        0 to 1, 0.5 for scores that say nothing: of ties, half count. NaN if one of both is missing.
    """
    absent = scores[~present].sort().values
    found = scores[present]
    if not len(found) or not len(absent):
        return float("nan")
    lower, upper = (torch.searchsorted(absent, found, right=right) for right in (False, True))
    return (lower + upper).double().mean().item() / (2 * len(absent))
