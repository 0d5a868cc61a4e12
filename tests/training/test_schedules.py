from types import NoneType

import pytest

from misc.config import TrainConfig
from misc.training.location_loss import LocationLoss
from misc.training.losses import HardNegativeLoss, SoftmaxLoss
from misc.training.schedules import learning_rate, loss_of_epoch


def test_the_rate_falls_along_a_cosine_or_by_a_step():
    cosine = TrainConfig(learning_rate=2.0, cycle="cosine", cycle_epochs=4)
    assert [learning_rate(cosine, epoch) for epoch in (0, 2, 4)] == pytest.approx([2, 1, 0])
    step = TrainConfig(
        learning_rate=1.0, learning_rate_decrease=0.1, first_decrease=15, last_decrease=15
    )
    assert [learning_rate(step, epoch) for epoch in (0, 14.9, 15, 29)] == pytest.approx(
        [1, 1, 0.1, 0.1]
    )


def test_the_rate_of_the_paper_is_a_function_of_the_epoch():
    rates = [learning_rate(TrainConfig(), epoch) for epoch in range(10)]
    expected = [1e-3, 1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 3.125e-5, 3.125e-5]
    assert rates == pytest.approx(expected)


def test_one_cycle_rises_to_the_highest_rate_and_falls_to_nothing():
    config = TrainConfig(cycle_epochs=10, learning_rate=1.0)
    rates = [learning_rate(config, epoch / 10) for epoch in range(101)]
    assert max(rates) == rates[20] == 1
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_epochs_have_the_location_loss_on_top_of_theirs_if_they_are_to():
    config = TrainConfig(warmup_epochs=1, images_per_batch=2, location_weight=0.5)
    for epoch, kind, phrases in ((0, SoftmaxLoss, SoftmaxLoss), (1, HardNegativeLoss, NoneType)):
        loss = loss_of_epoch(config, epoch)
        assert isinstance(loss, LocationLoss)
        assert (type(loss.loss), type(loss.of_phrases)) == (kind, phrases)
        assert loss.weight == 0.5
        assert isinstance(loss_of_epoch(TrainConfig(warmup_epochs=1), epoch), kind)
    warm = loss_of_epoch(config, 0)
    assert isinstance(warm, LocationLoss)
    assert isinstance(warm.loss, SoftmaxLoss)
    assert isinstance(warm.of_phrases, SoftmaxLoss)
    assert (warm.loss.joint, warm.of_phrases.joint) == (True, False)


def test_captions_of_an_image_are_joint_in_batches_of_images_unless_they_are_to_be_apart():
    for images, positives, joint in ((2, "joint", True), (2, "apart", False), (0, "joint", False)):
        settings = TrainConfig(
            warmup_epochs=1, images_per_batch=images, softmax_positives=positives
        )
        loss = loss_of_epoch(settings, 0)
        assert isinstance(loss, SoftmaxLoss)
        assert loss.joint is joint
