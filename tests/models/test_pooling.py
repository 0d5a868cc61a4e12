import math

import pytest
import torch

from misc.checkpoints.onnx_models import write_onnx_files
from misc.inference.acceleration import accelerate
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from models.pooling import GeneralizedPool, LastPool, MaxPool, encode_places
from tests.models.backbones import small

VALUES = torch.tensor([[[1.0, 5.0, 3.0, 9.0], [4.0, -2.0, -1.0, 9.0]]])
LENGTHS = torch.tensor([3])


def model_with(**settings):
    torch.manual_seed(0)
    settings |= {"embedding_dim": 12, "pool_k": 3, "word_dim": 5, "sru_layers": 2}
    return JointEmbedding(ModelConfig("resnet18", 2, **settings)).eval()


class PoolOfScores(GeneralizedPool):
    """A pool whose n-th weight is the softmax of given scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def weights(self, lengths, count=None):
        return torch.stack([self.row(length, count or length) for length in lengths.tolist()])

    def row(self, length, count):
        scores = [self.scores(n) if n < length else float("-inf") for n in range(count)]
        return torch.tensor(scores).softmax(0)


def test_words_are_pooled_by_their_last_and_by_their_highest_valid_value():
    assert LastPool()(VALUES, LENGTHS).tolist() == [[3, -1]]
    assert MaxPool()(VALUES, LENGTHS).tolist() == [[5, 4]]


def test_equal_scores_give_the_mean_and_one_high_score_the_maximum():
    mean, highest = PoolOfScores(lambda n: 0.0), PoolOfScores(lambda n: 100.0 if n == 0 else 0.0)
    torch.testing.assert_close(mean(VALUES, LENGTHS), torch.tensor([[3, 1 / 3]]))
    torch.testing.assert_close(mean(VALUES), torch.tensor([[4.5, 2.5]]))
    assert highest(VALUES, LENGTHS).tolist() == [[5, 4]]


def test_generalised_pooling_equals_a_twin_without_batches_or_padding():
    torch.manual_seed(0)
    pool, values, lengths = GeneralizedPool(), torch.randn(4, 3, 7), torch.tensor([7, 1, 4, 4])
    for row, length, pooled in zip(values, lengths.tolist(), pool(values, lengths), strict=True):
        states = pool.gru(encode_places(length, 32)[None])[0][0]  # (length, 64), both directions
        scores = pool.score((states[:, :32] + states[:, 32:]) / 2)[:, 0]
        twin = (row[:, :length].sort(descending=True).values * scores.softmax(0)).sum(1)
        torch.testing.assert_close(pooled, twin, atol=1e-6, rtol=1e-5)


def test_weights_sum_to_1_and_are_0_from_the_length_on():
    weights = GeneralizedPool().weights(torch.tensor([2, 5]), 6)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert (weights > 0).tolist() == [[True] * 2 + [False] * 4, [True] * 5 + [False]]


def test_places_are_encoded_by_sines_and_cosines_of_falling_frequency():
    encoded = encode_places(3, 4)
    assert encoded[0].tolist() == [0, 1, 0, 1]
    twin = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    torch.testing.assert_close(encoded[2], torch.tensor(twin))


def test_gradients_reach_values_and_weights_but_not_padding():
    values, pool = VALUES.clone().requires_grad_(), GeneralizedPool()
    pool(values, LENGTHS).square().sum().backward()
    assert values.grad is not None
    assert values.grad.bool().tolist() == [[[True] * 3 + [False]] * 2]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pool.parameters())


def test_a_batch_of_nothing_takes_part_in_a_backward_pass():
    pool = GeneralizedPool()
    pooled = pool(torch.zeros(0, 3, 2), torch.zeros(0, dtype=torch.long))
    assert pooled.shape == (0, 3)
    pooled.sum().backward()
    assert all(parameter.grad is not None for parameter in pool.parameters())


@pytest.mark.parametrize("text_pooling", ["last", "max", "gpo"])
def test_padding_and_company_change_no_text(text_pooling):
    model = model_with(text_pooling=text_pooling)
    vectors, lengths = torch.randn(3, 4, 5), torch.tensor([1, 4, 2])
    together = model.encode_text(vectors, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model.encode_text(vectors[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


def test_generalised_pooling_takes_images_of_a_single_location():
    model = model_with(image_pooling="gpo")
    assert model.encode_image(torch.randn(2, 3, 8, 8)).shape == (2, 12)
    with pytest.raises(ValueError, match="they need at least 16x16 pixels"):
        model_with(image_pooling="max").encode_image(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_with_learned_pooling_can_be_accelerated(precision):
    model = model_with(image_pooling="gpo", text_pooling="gpo")
    images = torch.randn(3, 3, 48, 48)
    fast = accelerate(model, precision).encode_image(images)
    cosines = (fast * model.encode_image(images)).sum(1)
    assert cosines.min() > (0.999999 if precision == "float32" else 0.999)


def test_poolings_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="no pooling 'mean'; there are weldon, max, gpo"):
        model_with(image_pooling="mean")
    with pytest.raises(ValueError, match="no pooling 'mean' of words; there are last, max, gpo"):
        model_with(text_pooling="mean")


def test_learned_pooling_cannot_be_exported_and_that_is_said(tmp_path):
    with pytest.raises(ValueError, match="no model of gpo pooling"):
        write_onnx_files(model_with(text_pooling="gpo"), 64, tmp_path)
    assert not any(tmp_path.iterdir())


def test_max_pooling_has_no_minimum_and_dropped_locations_come_in_training_only():
    model = small("resnet18", image_pooling="max", location_dropout=0.5, image_dropout=0.0)
    maps = torch.randn(1, 16, 2, 4)
    pooled = model.image_encoder.pool(maps)
    torch.testing.assert_close(pooled, maps.flatten(2).topk(2, dim=2).values.mean(dim=2))
    images = torch.randn(2, 3, 64, 128)
    assert torch.equal(model.encode_image(images), model.encode_image(images))
    assert not torch.equal(model.train().encode_image(images), model.encode_image(images))
    with pytest.raises(ValueError, match="no pooling 'mean'; there are weldon, max"):
        small("resnet18", image_pooling="mean")
