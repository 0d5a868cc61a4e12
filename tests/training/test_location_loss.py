import math

import pytest
import torch
import torch.nn.functional as F

from misc.data.caption_phrases import NamedThings
from misc.training.location_loss import LocationLoss
from misc.training.losses import ContrastiveLoss, HardNegativeLoss, SoftmaxLoss


def unit_rows(*counts, dimension=5):
    torch.manual_seed(0)
    return [F.normalize(torch.randn(count, dimension), dim=1) for count in counts]


def test_a_caption_is_as_similar_as_the_log_mean_exp_over_the_locations():
    locations = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    captions = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    found = LocationLoss(SoftmaxLoss(), sharpness=math.log(9)).similarities(locations, captions)
    # the means of (9, 1), of (1, 1/9), of (9, 9) and of (1, 1), as powers of 9
    expected = [[math.log(5, 9), math.log(5 / 9, 9)], [1.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("loss", [HardNegativeLoss(0.5), ContrastiveLoss(), SoftmaxLoss()])
def test_where_all_locations_are_as_the_image_their_loss_is_that_of_images(loss):
    images, captions = unit_rows(6, 8)
    owners, ids = torch.tensor([0, 0, 0, 1, 3, 3, 4, 5]), torch.tensor([7, 5, 3, 1, 2, 0])
    locations = images[:, None].expand(-1, 3, -1)
    found = LocationLoss(loss, weight=0.5)(images, captions, locations, ids, owners)
    torch.testing.assert_close(found, 1.5 * loss(images, captions, ids, owners))


def test_the_location_that_fits_best_learns_most_of_a_caption():
    captions, locations = torch.eye(2)[:1], torch.tensor([[[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]]])
    found = LocationLoss(SoftmaxLoss(), sharpness=5).similarities(
        locations.requires_grad_(), captions
    )
    (gradient,) = torch.autograd.grad(found.sum(), locations)
    shares = torch.tensor([0.0, 3.0, -5.0]).softmax(dim=0)
    torch.testing.assert_close(gradient[0], shares[:, None] * captions)


def test_a_phrase_is_looked_for_where_its_head_noun_is_not_named_and_in_its_own_image():
    images, captions, phrases = unit_rows(3, 3, 2)
    locations = F.normalize(torch.randn(3, 4, 5), dim=2)
    texts = torch.cat([captions[:1], phrases[:1], captions[1:], phrases[1:]])
    owners = torch.tensor([0, 0, 1, 2, 2])
    # the first phrase, of image 0, names 1, as image 1 does; the other, of image 2, names 0
    of_images = torch.tensor([[False, True], [False, True], [True, True]])
    things = NamedThings(torch.tensor([-1, 1, -1, -1, 0]), of_images)
    loss = LocationLoss(SoftmaxLoss(joint=True), SoftmaxLoss(20.0), weight=0.5)
    found = loss(images, texts, locations, None, owners, things)
    without = loss(images, captions, locations)
    logits = 20 * loss.similarities(locations, phrases)  # (3, 2)
    # all images name 1, so that the first phrase has no negatives; image 2 is none of its
    of_phrases = 0 - logits[:, 1].log_softmax(0)[2]
    of_their_images = -logits[0].log_softmax(0)[0]
    torch.testing.assert_close(found - without, 0.5 * (of_phrases + of_their_images) / 2)
    uncounted = LocationLoss(SoftmaxLoss(joint=True), weight=0.5)
    torch.testing.assert_close(uncounted(images, texts, locations, None, owners, things), without)
