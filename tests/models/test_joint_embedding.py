import json
from dataclasses import asdict, replace

import pytest
import torch

from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

SMALL = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=12, pool_k=3, word_dim=5, sru_layers=2
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return JointEmbedding(SMALL).eval()


def test_a_config_survives_json(model):
    assert ModelConfig(**json.loads(json.dumps(asdict(SMALL)))) == SMALL


def test_both_paths_give_unit_rows(model):
    images, captions = model(
        torch.randn(3, 3, 64, 48), torch.randn(3, 4, 5), torch.tensor([4, 1, 2])
    )
    assert images.shape == captions.shape == (3, 12)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(captions.norm(dim=1), torch.ones(3))


def test_a_batch_equals_its_singles_and_padding_changes_nothing(model):
    texts = [torch.randn(length, 5) for length in (1, 4, 2)]
    padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=9.0)
    together = model.encode_text(padded, torch.tensor([1, 4, 2]))
    for text, row in zip(texts, together, strict=True):
        alone = model.encode_text(text[None], torch.tensor([len(text)]))
        torch.testing.assert_close(alone[0], row, atol=1e-6, rtol=0)
    images = torch.randn(3, 3, 48, 48)
    singles = torch.cat([model.encode_image(image[None]) for image in images])
    torch.testing.assert_close(model.encode_image(images), singles, atol=1e-6, rtol=0)


def test_activation_maps_are_the_affine_without_bias_at_every_location(model):
    images = torch.randn(2, 3, 64, 48)
    maps = model.activation_maps(images)
    unprojected = model.image_encoder.unprojected_maps(images)
    twin = torch.einsum("de,behw->bdhw", model.image_encoder.projection.weight, unprojected)
    assert maps.shape == (2, 12, 8, 6)
    torch.testing.assert_close(maps, twin, atol=1e-5, rtol=0)


def test_locations_are_the_projected_maps_as_unit_rows_beside_the_same_embeddings(model):
    images, texts, lengths = (
        torch.randn(2, 3, 32, 48),
        torch.randn(3, 4, 5),
        torch.tensor([4, 1, 2]),
    )
    *embeddings, locations = model(images, texts, lengths, with_locations=True)
    for found, expected in zip(embeddings, model(images, texts, lengths), strict=True):
        assert torch.equal(found, expected)
    maps = model.activation_maps(images)  # (2, 12, 4, 6)
    expected = maps[1, :, 2, 3] / maps[1, :, 2, 3].norm()
    torch.testing.assert_close(locations[1, 2 * 6 + 3], expected)


def test_locations_are_left_out_in_training_the_same_in_a_batch_and_anew_each_time(model):
    images, texts = torch.randn(2, 3, 32, 48), (torch.randn(1, 4, 5), torch.tensor([4]))
    model.requires_grad_(False).image_encoder.location_dropout = 0.75
    every = model(images, *texts, with_locations=True)[2]  # (2, 24, 12), as it does not train
    model.image_encoder.training = True
    seen = set()
    for _ in range(20):
        some = model(images, *texts, with_locations=True)[2]
        assert some.shape == (2, 6, 12)
        distances = torch.cdist(some[0], every[0]), torch.cdist(some[1], every[1])
        places, others = (distance.argmin(dim=1).tolist() for distance in distances)
        assert places == others == sorted(set(places))
        assert max(distance.min(dim=1).values.max() for distance in distances) < 1e-3
        seen.update(places)
    assert seen == set(range(24))


def test_embedding_follows_equation_1(model):
    images = torch.randn(1, 3, 48, 48)
    encoder = model.image_encoder
    locations = encoder.convolution(encoder.trunk(images)).flatten(2).sort(dim=2).values
    pooled = locations[:, :, :3].mean(2) + locations[:, :, -3:].mean(2)
    projected = pooled @ encoder.projection.weight.T + encoder.projection.bias
    torch.testing.assert_close(
        model.encode_image(images), projected / projected.norm(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("backbone", "channels"), [("resnet18", 512), ("resnet50", 2048)])
@pytest.mark.parametrize("stages", [1, 4])
def test_any_backbone_can_be_cut_after_any_stage(backbone, channels, stages):
    model = JointEmbedding(replace(SMALL, backbone=backbone, stages=stages, pool_k=1))
    assert model.image_encoder.convolution.in_channels == channels // 2 ** (4 - stages)
    side = 64 // model.image_encoder.stride
    assert model.activation_maps(torch.randn(1, 3, 64, 64)).shape == (1, 12, side, side)


def test_images_that_are_too_small_are_an_error_that_says_the_size_needed(model):
    with pytest.raises(ValueError, match="8x8 pixels give 1 locations.*need at least 16x16"):
        model.encode_image(torch.zeros(1, 3, 8, 8))


def test_a_text_without_words_is_an_error_that_names_its_row(model):
    with pytest.raises(ValueError, match=r"none in rows \[1\]"):
        model.encode_text(torch.zeros(2, 3, 5), torch.tensor([2, 0]))


def test_unknown_backbones_and_stages_are_refused():
    with pytest.raises(ValueError, match="no backbone 'vgg16'"):
        JointEmbedding(replace(SMALL, backbone="vgg16"))
    with pytest.raises(ValueError, match="1 to 4 stages, not 5"):
        JointEmbedding(replace(SMALL, stages=5))
