"""Losses over the similarities of a batch of images and captions (paper, Eq. 5-7)."""

import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from misc.config import TrainConfig
from misc.runtime.distributed import first_row, gather_rows, gather_with_gradient

logger = logging.getLogger(__name__)


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
        first_image, first_caption = (
            first_row(len(image_embeddings)),
            first_row(len(caption_embeddings)),
        )
        device = image_embeddings.device
        captions = torch.arange(len(caption_embeddings), device=device)
        owners = captions if owners is None else owners
        if image_ids is None:
            image_ids = torch.arange(len(image_embeddings), device=device) + first_image
        caption_ids = image_ids[owners]
        return self.one_way(
            image_embeddings @ all_captions.T,
            image_ids[:, None] == gather_rows(caption_ids),
            (owners, captions + first_caption),
        ) + self.one_way(
            caption_embeddings @ all_images.T,
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
    return SoftmaxLoss(config.softmax_scale, joint=config.images_per_batch > 0)
