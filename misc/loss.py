"""Losses over the similarities of a batch of image-caption pairs (paper, Eq. 5-7)."""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def _negatives(images: Tensor, captions: Tensor, image_ids: Tensor | None) -> tuple[Tensor, Tensor]:
    """Similarities (B, B), image by caption, and the mask of pairs that are no negatives.

    Captions of the same image (equal ``image_ids``) all describe it, whatever their pair.
    """
    similarity = images @ captions.T
    if image_ids is None:
        image_ids = torch.arange(len(images), device=images.device)
    return similarity, image_ids[:, None] == image_ids[None, :]


class HardNegativeLoss(nn.Module):
    """Triplet loss with the hardest negatives of the batch, in both directions (Eq. 7).

    Args:
        margin: by how much a pair is to be more similar than a non-pair.
        num_negatives: how many of the hardest negatives of each item count; their sum is taken.
    """

    def __init__(self, margin: float = 0.2, num_negatives: int = 1) -> None:
        super().__init__()
        self.margin = margin
        self.num_negatives = num_negatives

    def forward(
        self,
        image_embeddings: Tensor,
        caption_embeddings: Tensor,
        image_ids: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over a batch: (B, D), (B, D), optional ids (B,) -> scalar."""
        similarity, same = _negatives(image_embeddings, caption_embeddings, image_ids)
        # -inf, not the negated score: a negated negative similarity would be a hard negative.
        negatives = similarity.masked_fill(same, float("-inf"))
        count = min(self.num_negatives, len(negatives))
        pairs = similarity.diagonal()
        hardest_captions = negatives.topk(count, dim=1).values - pairs[:, None]
        hardest_images = negatives.topk(count, dim=0).values - pairs[None, :]
        return (
            F.relu(self.margin + hardest_captions).sum()
            + F.relu(self.margin + hardest_images).sum()
        )


class ContrastiveLoss(nn.Module):
    """Triplet loss with all the negatives of the batch, in both directions (Eq. 5 and 6)."""

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def forward(
        self,
        image_embeddings: Tensor,
        caption_embeddings: Tensor,
        image_ids: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over a batch: (B, D), (B, D), optional ids (B,) -> scalar."""
        similarity, same = _negatives(image_embeddings, caption_embeddings, image_ids)
        pairs = similarity.diagonal()
        captions = F.relu(self.margin + similarity - pairs[:, None])
        images = F.relu(self.margin + similarity - pairs[None, :])
        return (captions + images).masked_fill(same, 0.0).sum()


class SoftmaxLoss(nn.Module):
    """Cross-entropy of each pair among the batch, in both directions.

    Not in the paper: unlike the hardest negatives it does not collapse from a random start,
    which makes it a warm-up for them.

    Args:
        scale: factor on the similarities before the softmax.
    """

    def __init__(self, scale: float = 20.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(
        self,
        image_embeddings: Tensor,
        caption_embeddings: Tensor,
        image_ids: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over a batch: (B, D), (B, D), optional ids (B,) -> scalar."""
        similarity, same = _negatives(image_embeddings, caption_embeddings, image_ids)
        other_pairs = same ^ torch.eye(len(same), dtype=torch.bool, device=same.device)
        logits = (self.scale * similarity).masked_fill(other_pairs, float("-inf"))
        target = torch.arange(len(logits), device=logits.device)
        return (
            F.cross_entropy(logits, target, reduction="sum")
            + F.cross_entropy(logits.T, target, reduction="sum")
        ) / 2


class CollapseMonitor:
    """Warns, once, of a hardest-negative loss that sits at its collapse value.

    That value, 2 * batch * margin, is the loss of a model for which all images and captions are
    the same point; training hardly ever leaves it.

    Args:
        margin: the margin of the loss; 0 for a loss without one, which is not watched.
        patience: for how many steps in a row the loss must be within 1 % of the value.
    """

    def __init__(self, margin: float, patience: int = 50) -> None:
        self.margin = margin
        self.patience = patience
        self.steps = 0
        self.warned = False

    def update(self, loss: float, batch_size: int) -> None:
        """Take in the summed loss of one step."""
        collapsed = 2 * batch_size * self.margin
        near = self.margin > 0 and abs(loss - collapsed) <= 0.01 * collapsed
        self.steps = self.steps + 1 if near else 0
        if self.steps < self.patience or self.warned:
            return
        self.warned = True
        logger.warning(
            "collapsed: the loss has sat at 2 x batch x margin = %.1f for %d steps, that of a "
            "model for which everything is the same point. Start again with --warmup-epochs, or "
            "from pretrained --image-weights",
            collapsed,
            self.steps,
        )
