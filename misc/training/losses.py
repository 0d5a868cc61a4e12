"""Losses over the similarities of a batch of image-caption pairs (paper, Eq. 5-7)."""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from misc.config import TrainConfig
from misc.runtime.distributed import first_row, gather_rows, gather_with_gradient

logger = logging.getLogger(__name__)


class PairLoss(nn.Module):
    """A loss over a batch of pairs, spread over all processes: each image against each caption.

    Every process scores its own images against all captions and its own captions against all
    images, so its memory grows with the number of processes, not with the square of it. The loss
    of the whole batch is the sum of what the processes return.
    """

    def forward(
        self,
        image_embeddings: Tensor,
        caption_embeddings: Tensor,
        image_ids: Tensor | None = None,
    ) -> Tensor:
        """Sum the loss over this process's pairs: (B, D), (B, D), optional ids (B,) -> scalar.

        Captions of the same image (equal ``image_ids``) all describe it, whatever their pair. The
        number of pairs may be another in each process, and 0.
        """
        both = torch.cat([image_embeddings, caption_embeddings], dim=1)
        all_images, all_captions = gather_with_gradient(both).chunk(2, dim=1)  # (N, D) each
        numbers = torch.arange(len(all_images), device=both.device)
        start = first_row(len(both))
        pairs = numbers[start : start + len(both)]  # (B,), where this process's pairs are
        all_ids = numbers if image_ids is None else gather_rows(image_ids)
        same = all_ids[pairs, None] == all_ids  # (B, N)
        return self.one_way(image_embeddings @ all_captions.T, same, pairs) + self.one_way(
            caption_embeddings @ all_images.T, same, pairs
        )

    def one_way(self, similarity: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
        """Sum the loss of B items, each looking for its partner among N.

        Args:
            similarity: (B, N).
            same: (B, N), True where both are of the same image, so that they are no negatives.
            pairs: (B,), the column of each item's partner.
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

    def one_way(self, similarity: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
        """Sum the loss of B items, each looking for its partner among N."""
        # -inf, not the negated score: a negated negative similarity would be a hard negative.
        negatives = similarity.masked_fill(same, float("-inf"))
        hardest = negatives.topk(min(self.num_negatives, negatives.shape[1]), dim=1).values
        return F.relu(self.margin + hardest - similarity.gather(1, pairs[:, None])).sum()


class ContrastiveLoss(PairLoss):
    """Triplet loss with all the negatives of the batch, in both directions (Eq. 5 and 6)."""

    def __init__(self, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def one_way(self, similarity: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
        """Sum the loss of B items, each looking for its partner among N."""
        costs = F.relu(self.margin + similarity - similarity.gather(1, pairs[:, None]))
        return costs.masked_fill(same, 0.0).sum()


class SoftmaxLoss(PairLoss):
    """Cross-entropy of each pair among the batch, in both directions.

    Not in the paper: unlike the hardest negatives it does not collapse from a random start,
    which makes it a warm-up for them.

    Args:
        scale: factor on the similarities before the softmax.
        joint: True takes all captions of an image in the batch for positives, whose mean counts
            (supervised contrastive learning, Khosla et al., 2020, Eq. 2); False leaves those of
            other pairs out.
    """

    def __init__(self, scale: float = 20.0, joint: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.joint = joint

    def one_way(self, similarity: Tensor, same: Tensor, pairs: Tensor) -> Tensor:
        """Sum half the loss of B items, each looking for its partner among N."""
        if self.joint:
            log_shares = (self.scale * similarity).log_softmax(dim=1)
            return -(log_shares * same).sum(dim=1).div(same.sum(dim=1)).sum() / 2
        other_pairs = same.scatter(1, pairs[:, None], False)
        logits = (self.scale * similarity).masked_fill(other_pairs, float("-inf"))
        return F.cross_entropy(logits, pairs, reduction="sum") / 2


class CollapseMonitor:
    """Warns, once, of a hardest-negative loss that sits at its collapse value.

    That value, 2 * batch * margin for each negative that counts, is the loss of a model for which
    all images and captions are the same point; training hardly ever leaves it.

    Args:
        margin: the margin of the loss; 0 for a loss without one, which is not watched.
        num_negatives: hardest negatives that count for each item.
        patience: for how many steps in a row the loss must be within 1 % of the value.
    """

    def __init__(self, margin: float, num_negatives: int = 1, patience: int = 50) -> None:
        self.margin = margin
        self.num_negatives = num_negatives
        self.patience = patience
        self.steps = 0
        self.warned = False

    def update(self, loss: float, batch_size: int) -> None:
        """Take in the summed loss of one step."""
        collapsed = 2 * batch_size * self.margin * min(self.num_negatives, batch_size - 1)
        near = collapsed > 0 and abs(loss - collapsed) <= 0.01 * collapsed
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


def loss_of_epoch(config: TrainConfig, epoch: int) -> PairLoss:
    """Return the loss that an epoch is trained on."""
    if epoch >= config.warmup_epochs:
        return HardNegativeLoss(config.margin, config.num_negatives)
    if config.warmup_loss == "all":
        return ContrastiveLoss(config.margin)
    return SoftmaxLoss(config.softmax_scale, joint=config.captions_per_image > 1)
