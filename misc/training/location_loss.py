"""A loss over the locations of images, by which things are found where they are."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from misc.data.caption_phrases import NamedThings
from misc.runtime.distributed import first_row, gather_rows, gather_with_gradient
from misc.training.losses import PairLoss


class LocationLoss(nn.Module):
    """Adds to a loss the same loss on the locations of images, of which a caption fits some.

    Not in the paper, which learns where things are by the way. A caption and an image are as
    similar here as the caption is to the locations that fit it best: the log-mean-exp over them,
    between their mean (sharpness 0) and their maximum (infinity). Phrases are looked for likewise,
    but images whose captions have the same head noun are no negatives.

    Args:
        loss: of captions.
        of_phrases: of phrases, leaving out pairs of what may be the same; ``None``: phrases do not
            count.
        weight: factor on what is added.
        sharpness: factor on the similarities before the exponential.
    """

    def __init__(
        self,
        loss: PairLoss,
        of_phrases: PairLoss | None = None,
        weight: float = 1.0,
        sharpness: float = 10.0,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.of_phrases = of_phrases
        self.weight = weight
        self.sharpness = sharpness

    def forward(
        self,
        image_embeddings: Tensor,
        text_embeddings: Tensor,
        locations: Tensor,
        image_ids: Tensor | None = None,
        owners: Tensor | None = None,
        things: NamedThings | None = None,
    ) -> Tensor:
        """Sum the losses over this process's pairs -> scalar.

        Args:
            image_embeddings: (N, D), unit rows.
            text_embeddings: (M, D), unit rows.
            locations: (N, L, D), unit rows, of ``JointEmbedding.forward``.
            image_ids: as for ``PairLoss``.
            owners: as for ``PairLoss``.
            things: what the phrases among the texts name; ``None``: all texts are captions. It is
                ``None`` in all processes or in none.
        """
        count, device = len(text_embeddings), text_embeddings.device
        owners = torch.arange(count, device=device) if owners is None else owners
        heads = owners.new_full((count,), -1) if things is None else things.heads
        of_images = self.similarities(locations, gather_with_gradient(text_embeddings))
        # Of all processes, scores are gathered: there are far fewer than components of locations.
        own = first_row(count) + torch.arange(count, device=device)
        of_texts = gather_with_gradient(of_images)[:, own].T
        captions, all_captions = heads < 0, gather_rows(heads) < 0
        described = image_ids, owners[captions]
        total: Tensor = self.loss(
            image_embeddings, text_embeddings[captions], *described
        ) + self.weight * self.loss.of_similarities(
            of_images[:, all_captions], of_texts[captions], *described
        )
        if things is None or self.of_phrases is None:
            return total
        similarities = of_images[:, ~all_captions], of_texts[~captions]
        phrases = _of_phrases(self.of_phrases, *similarities, things, owners[~captions])
        return total + self.weight * phrases

    def similarities(self, locations: Tensor, texts: Tensor) -> Tensor:
        """Compare locations (N, L, D) of images with texts (M, D): (N, M), from -1 to 1."""
        sharpened = (self.sharpness * texts).to(locations.dtype)
        each = F.linear(locations, sharpened)  # (N, L, M)
        # No maximum is taken out first: e to the power of the sharpness is far from overflowing.
        log_sum = each.exp().sum(dim=1, dtype=torch.float32).log()
        return (log_sum - math.log(locations.shape[1])) / self.sharpness


def _of_phrases(
    loss: PairLoss, of_images: Tensor, of_phrases: Tensor, things: NamedThings, owners: Tensor
) -> Tensor:
    """Sum the loss of P phrases: (N, phrases of all), (P, images of all) -> scalar."""
    heads = things.heads[things.heads >= 0]
    phrases = torch.arange(len(heads), device=heads.device)
    return loss.one_way(
        of_images,
        things.of_images[:, gather_rows(heads)],
        (owners, phrases + first_row(len(heads))),
    ) + loss.one_way(
        of_phrases,
        gather_rows(things.of_images)[:, heads].T,
        (phrases, owners + first_row(len(of_images))),
    )
