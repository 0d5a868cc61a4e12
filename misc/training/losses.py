"""Losses over the similarities of a batch of images and captions (paper, Eq. 5-7)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from misc.runtime.distributed import first_row, gather_rows, gather_with_gradient


class PairLoss(nn.Module):
    """A loss over the pairs of a batch, spread over all processes: images against captions.

    Each caption makes a pair with its image, which may have several. Every process scores its own
    images against all captions and its own captions against all images, so its memory grows with
    the number of processes, not with the square of it. The loss of the whole batch is the sum of
    what the processes return.
    """

    def forward(
        self,
        image_embeddings: Tensor,
        caption_embeddings: Tensor,
        image_ids: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over this process's pairs: images (N, D), captions (M, D) -> scalar.

        Captions of the same image all describe it, whatever their pair. N and M may be others in
        each process, and 0.

        Args:
            image_embeddings: unit rows.
            caption_embeddings: unit rows.
            image_ids: (N,), equal where an image is there again; ``None``: all are different.
            owners: (M,), row of each caption's image; ``None``: caption n is of image n.
        """
        all_images = gather_with_gradient(image_embeddings)
        all_captions = gather_with_gradient(caption_embeddings)
        both_ways = image_embeddings @ all_captions.T, caption_embeddings @ all_images.T
        return self.of_similarities(*both_ways, image_ids, owners)

    def of_similarities(
        self,
        of_images: Tensor,
        of_captions: Tensor,
        image_ids: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over this process's pairs, of similarities that are there -> scalar.

        Args:
            of_images: (N, captions of all processes).
            of_captions: (M, images of all processes).
            image_ids: as in ``forward``.
            owners: as in ``forward``.
        """
        device = of_images.device
        first_image, first_caption = first_row(len(of_images)), first_row(len(of_captions))
        captions = torch.arange(len(of_captions), device=device)
        owners = captions if owners is None else owners
        if image_ids is None:
            image_ids = torch.arange(len(of_images), device=device) + first_image
        caption_ids = image_ids[owners]
        return self.one_way(
            of_images,
            image_ids[:, None] == gather_rows(caption_ids),
            (owners, captions + first_caption),
        ) + self.one_way(
            of_captions,
            caption_ids[:, None] == gather_rows(image_ids),
            (captions, owners + first_image),
        )

    def one_way(self, similarity: Tensor, same: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Sum the loss of P pairs, of which R items look for their partners among C.

        Args:
            similarity: (R, C).
            same: (R, C), True where both are of the same image, so that they are no negatives.
            pairs: rows (P,) and columns (P,) of the pairs.
        """
        raise NotImplementedError


class HardNegativeLoss(PairLoss):
    """Triplet loss with the hardest negatives of the batch, in both directions (Eq. 7).

    Args:
        margin: by how much a pair is to be more similar than a non-pair.
        num_negatives: how many of the hardest negatives of each item count; their sum is taken.
    """

    def __init__(self, margin: float = 0.2, num_negatives: int = 1) -> None:
        super().__init__()
        self.margin = margin
        self.num_negatives = num_negatives

    def one_way(self, similarity: Tensor, same: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Sum the loss of P pairs, of which R items look for their partners among C."""
        # -inf, not the negated score: a negated negative similarity would be a hard negative.
        negatives = similarity.masked_fill(same, float("-inf"))
        hardest = negatives.topk(min(self.num_negatives, negatives.shape[1]), dim=1).values
        return F.relu(self.margin + hardest[pairs[0]] - similarity[pairs][:, None]).sum()


class ContrastiveLoss(PairLoss):
    """Triplet loss with all the negatives of the batch, in both directions (Eq. 5 and 6)."""

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def one_way(self, similarity: Tensor, same: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Sum the loss of P pairs, of which R items look for their partners among C."""
        costs = F.relu(self.margin + similarity[pairs[0]] - similarity[pairs][:, None])
        return costs.masked_fill(same[pairs[0]], 0.0).sum()


class SoftmaxLoss(PairLoss):
    """Cross-entropy of each pair among the batch, in both directions.

    Not in the paper: unlike the hardest negatives it does not collapse from a random start,
    which makes it a warm-up for them.

    Args:
        scale: factor on the similarities before the softmax.
        joint: True lets all captions of an image share what the softmax gives (supervised
            contrastive learning, Khosla et al., 2020, Eq. 2); False leaves those of other pairs
            out.
    """

    def __init__(self, scale: float = 20.0, joint: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.joint = joint

    def one_way(self, similarity: Tensor, same: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Sum half the loss of P pairs, of which R items look for their partners among C."""
        logits = self.scale * similarity
        if self.joint:
            return -logits.log_softmax(dim=1)[pairs].sum() / 2
        rows, columns = pairs
        other_pairs = same[rows].scatter(1, columns[:, None], False)
        return (
            F.cross_entropy(
                logits[rows].masked_fill(other_pairs, float("-inf")), columns, reduction="sum"
            )
            / 2
        )
