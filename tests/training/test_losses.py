import pytest
import torch
import torch.nn.functional as F

from misc.training.losses import ContrastiveLoss, HardNegativeLoss, SoftmaxLoss


def embeddings(images=6, captions=6, dimension=5):
    torch.manual_seed(0)
    counts = images, captions
    return (F.normalize(torch.randn(count, dimension), dim=1).requires_grad_() for count in counts)


@pytest.mark.parametrize(
    "loss",
    [HardNegativeLoss(num_negatives=2), ContrastiveLoss(), SoftmaxLoss(), SoftmaxLoss(joint=True)],
)
def test_images_with_a_caption_each_cost_what_pairs_cost_to_the_last_digit(loss):
    images, captions = embeddings()
    ids = torch.tensor([9, 4, 6, 1, 0, 3])
    assert torch.equal(loss(images, captions, ids, torch.arange(6)), loss(images, captions))


def twin(images, captions, margin, count, ids, owners):
    """Eq. 5-7, pair by pair; ``count`` None takes all negatives."""
    total = torch.zeros(())
    for caption, i in enumerate(owners):
        pair = images[i] @ captions[caption]
        for scores in (
            [images[i] @ captions[c] for c, j in enumerate(owners) if ids[j] != ids[i]],
            [images[j] @ captions[caption] for j in range(len(images)) if ids[j] != ids[i]],
        ):
            for score in sorted(scores, reverse=True)[:count]:
                total = total + max(margin - pair + score, torch.zeros(()))
    return total


@pytest.mark.parametrize(
    ("ids", "owners"),
    [(None, None), ([0, 1, 1, 2, 3, 0], None), ([7, 5, 3, 1, 2, 0], [0, 0, 0, 1, 3, 3, 4, 5])],
)
@pytest.mark.parametrize(
    ("loss", "count"),
    [(HardNegativeLoss(), 1), (HardNegativeLoss(num_negatives=3), 3), (ContrastiveLoss(), None)],
)
def test_losses_and_gradients_equal_a_twin_pair_by_pair(loss, count, ids, owners):
    images, captions = embeddings(captions=len(owners or range(6)))
    given = (None if numbers is None else torch.tensor(numbers) for numbers in (ids, owners))
    ours = loss(images, captions, *given)
    theirs = twin(images, captions, 0.2, count, ids or range(6), owners or range(6))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)
    gradients = torch.autograd.grad(ours, (images, captions), retain_graph=True)
    twins = torch.autograd.grad(theirs, (images, captions))
    for gradient, expected in zip(gradients, twins, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=0)


def test_hard_negative_loss_by_hand():
    images = torch.eye(2)
    captions = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    # image 0: 0.2 - 0.8 + 0; image 1: 0.2 - 1 + 0.6; caption 0: 0.2 - 0.8 + 0.6; caption 1: none
    assert HardNegativeLoss()(images, captions).item() == pytest.approx(0.0, abs=1e-6)
    # with a margin of 0.5: 0, 0.1, 0.3, 0
    assert HardNegativeLoss(margin=0.5)(images, captions).item() == pytest.approx(0.4, abs=1e-6)


def test_a_negative_similarity_is_a_negative_not_a_hard_one():
    images = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert HardNegativeLoss()(images, images).item() == 0


def test_a_collapsed_model_sits_at_twice_the_batch_times_the_margin():
    same = F.normalize(torch.ones(8, 4), dim=1)
    assert HardNegativeLoss()(same, same).item() == pytest.approx(2 * 8 * 0.2, rel=1e-5)


@pytest.mark.parametrize("loss", [HardNegativeLoss(), ContrastiveLoss(), SoftmaxLoss()])
def test_captions_of_one_image_are_no_negatives_and_a_batch_of_one_costs_nothing(loss):
    images, captions = embeddings()
    assert loss(images, captions, torch.zeros(6, dtype=torch.long)).item() == 0
    assert loss(images[:1], captions[:1]).item() == 0
    loss(images, captions, torch.zeros(6, dtype=torch.long)).backward()
    assert torch.isfinite(images.grad).all()


def test_softmax_loss_is_the_mean_of_both_cross_entropies():
    images, captions = embeddings()
    logits = 20 * images @ captions.T
    rows = -logits.log_softmax(1).diagonal().sum()
    columns = -logits.log_softmax(0).diagonal().sum()
    torch.testing.assert_close(SoftmaxLoss(20.0)(images, captions), (rows + columns) / 2)


def test_joint_positives_share_what_their_softmax_gives():
    torch.manual_seed(0)
    images, captions = embeddings(images=2, captions=5)
    owners = [0, 0, 1, 1, 1]
    scores = (3 * images @ captions.T).exp()  # (2, 5)
    expected = 0.0
    for caption, image in enumerate(owners):
        expected -= (scores[image, caption] / scores[image].sum()).log() / 2
        expected -= (scores[image, caption] / scores[:, caption].sum()).log() / 2
    found = SoftmaxLoss(3.0, joint=True)(images, captions, None, torch.tensor(owners))
    torch.testing.assert_close(found, expected)
