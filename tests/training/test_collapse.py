import logging

import pytest
import torch
import torch.nn.functional as F

from misc.training.collapse import CollapseMonitor
from misc.training.losses import HardNegativeLoss


def test_collapse_is_warned_of_once_with_the_remedy(caplog):
    monitor = CollapseMonitor(margin=0.2, patience=3)
    with caplog.at_level(logging.WARNING):
        for loss in (4.0, 4.01, 3.99, 4.0, 4.0, 4.0, 4.0):
            monitor.update(loss, batch_size=10)
    assert len(caplog.records) == 1
    assert "--warmup-epochs" in caplog.text


def test_the_value_of_collapse_counts_every_negative(caplog):
    torch.manual_seed(0)
    point = F.normalize(torch.randn(1, 4), dim=1).expand(6, 4)
    for negatives, value in ((3, 7.2), (9, 12.0)):  # of 6 items, 5 are others
        loss = HardNegativeLoss(0.2, negatives)(point, point).item()
        assert loss == pytest.approx(value)
        monitor = CollapseMonitor(0.2, negatives, patience=1)
        caplog.clear()
        monitor.update(loss, batch_size=6)
        assert len(caplog.records) == 1
        monitor = CollapseMonitor(0.2, negatives, patience=1)
        monitor.update(2 * 6 * 0.2, batch_size=6)  # that of one negative
        assert len(caplog.records) == 1


@pytest.mark.parametrize("losses", [(4.0, 4.0, 3.9, 4.0, 4.0), (3.95, 3.95, 3.95, 3.95)])
def test_a_loss_that_moves_on_or_stays_elsewhere_is_no_collapse(losses, caplog):
    monitor = CollapseMonitor(margin=0.2, patience=3)
    for loss in losses:
        monitor.update(loss, batch_size=10)
    assert not caplog.records
