"""A loss that has collapsed, and its warning."""

import logging

logger = logging.getLogger(__name__)


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
