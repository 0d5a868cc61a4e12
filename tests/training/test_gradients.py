import pytest
import torch

from misc.data.training_batches import TENSORS
from misc.runtime.seeds import seed_generators
from misc.training.gradients import add_gradients, keeping_statistics
from misc.training.location_loss import LocationLoss
from misc.training.losses import ContrastiveLoss, SoftmaxLoss
from tests.training.small_batches import (
    EVERYTHING,
    captioned,
    gradients,
    pairs,
    phrased,
    small_model,
)

LOSS = ContrastiveLoss()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in found:
        atol = 1e-5 * max(1, expected[name].abs().max())
        torch.testing.assert_close(found[name], expected[name], atol=atol, rtol=0)


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (LOSS, pairs(7)),
        (LOSS, captioned(5, 1, 2, 5, 3, 1, 4)),
        (LocationLoss(LOSS, weight=0.5), captioned(5, 1, 2, 5, 3, 1, 4, side=64)),
        (LocationLoss(LOSS, SoftmaxLoss()), phrased(5, 1, 2, 5, 3, 1, 4)),
    ],
)
def test_chunks_give_the_loss_and_the_gradients_of_the_whole_batch(loss, batch, chunk_size):
    whole, chunked = small_model(EVERYTHING), small_model(EVERYTHING)
    expected = add_gradients(whole, batch, loss, (0,))
    torch.testing.assert_close(
        add_gradients(chunked, batch, loss, (0,), chunk_size=chunk_size), expected
    )
    assert_same(gradients(chunked), gradients(whole))


@pytest.mark.parametrize("loss", [LOSS, LocationLoss(LOSS)])
def test_what_is_drawn_is_the_same_in_both_passes_and_batch_norms_count_once(loss):
    batch = pairs(7)
    twin, chunked = (small_model(EVERYTHING, dropout=0.3).train() for _ in range(2))
    for model in (twin, chunked):
        model.image_encoder.location_dropout = 0.5
    embedded = []
    for number, chunk in enumerate(batch.chunks(3)):  # a graph of all chunks, in memory at once
        seed_generators(torch.device("cpu"), 5, 0, number)
        located = isinstance(loss, LocationLoss)
        embedded.append(twin(chunk.images, chunk.vectors, chunk.lengths, located))
    embeddings = (torch.cat(parts) for parts in zip(*embedded, strict=True))
    loss(*embeddings, batch.image_ids, batch.owners).backward()
    add_gradients(chunked, batch, loss, (5,), chunk_size=3)
    assert_same(gradients(chunked), gradients(twin))
    for name, buffer in twin.named_buffers():
        assert torch.equal(chunked.get_buffer(name), buffer), name


def test_batch_norms_that_keep_their_statistics_give_the_same_outputs():
    norm, inputs = torch.nn.BatchNorm1d(2), torch.randn(5, 2)
    with keeping_statistics(norm):
        outputs = norm(inputs)
    assert norm.get_buffer("running_mean").tolist() == [0, 0]
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm(inputs), outputs)
    assert norm.num_batches_tracked == 1


def test_no_pairs_change_neither_gradients_nor_statistics():
    model = small_model(EVERYTHING).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for chunk_size in (0, 3):
        nothing = pairs(4).chunks(4)[0]
        for name in TENSORS:
            setattr(nothing, name, getattr(nothing, name)[:0])
        assert add_gradients(model, nothing, LOSS, (0,), chunk_size=chunk_size) == 0
    assert not any(gradient.any() for gradient in gradients(model).values())
    for name, buffer in before.items():
        assert torch.equal(model.get_buffer(name), buffer), name
