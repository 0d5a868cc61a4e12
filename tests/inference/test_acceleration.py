"""Whatever is done for speed is compared with the plain path."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from misc.evaluation.localization import heat_maps, kernel_heat_maps
from misc.inference import acceleration
from misc.inference.acceleration import accelerate, accelerate_for, has_fast_bfloat16
from models.backbones import count_before, trunk_parts
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.models.backbones import LITE, small, with_used_norms

CPU = torch.device("cpu")


@pytest.fixture(params=["resnet18", "resnet50"])
def model(request):
    torch.manual_seed(0)
    config = ModelConfig(request.param, 3, 32, 3, word_dim=7, sru_layers=2)
    return with_used_norms(JointEmbedding(config).eval())


@pytest.fixture
def images():
    return torch.randn(3, 3, 70, 90)


@torch.inference_mode()
def test_an_accelerated_model_computes_the_same(model, images):
    fast = accelerate(model)
    assert not any(type(module) is nn.BatchNorm2d for module in fast.modules())
    torch.testing.assert_close(fast.encode_image(images), model.encode_image(images))
    maps = model.activation_maps(images)
    torch.testing.assert_close(fast.activation_maps(images), maps, rtol=1e-4, atol=1e-4)
    vectors, lengths = torch.randn(4, 6, 7), torch.tensor([6, 1, 3, 6])
    torch.testing.assert_close(
        fast.encode_text(vectors, lengths), model.encode_text(vectors, lengths)
    )


@torch.inference_mode()
def test_bfloat16_keeps_the_direction_of_embeddings(model, images):
    fast = accelerate(model, "bfloat16")
    found, expected = fast.encode_image(images), model.encode_image(images)
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected).min() > 0.999
    assert not torch.equal(found, expected)
    vectors, lengths = torch.randn(4, 6, 7), torch.tensor([6, 1, 3, 6])
    found, expected = fast.encode_text(vectors, lengths), model.encode_text(vectors, lengths)
    assert F.cosine_similarity(found, expected).min() > 0.999


def test_the_model_itself_is_left_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    accelerate(model, "bfloat16")
    assert model.training
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@torch.inference_mode()
def test_kernels_give_the_heat_maps_of_projected_maps(model, images):
    texts = F.normalize(torch.randn(5, 32), dim=1)
    _, maps = model.encode_image_with_maps(images)
    for count in (1, 6, 32):
        kernels = model.localization_kernels(texts, count)
        for image_maps, projected in zip(maps, model.activation_maps(images), strict=True):
            torch.testing.assert_close(
                kernel_heat_maps(image_maps, kernels), heat_maps(projected, texts, count)
            )


def test_kernels_refuse_what_does_not_fit(model):
    with pytest.raises(ValueError, match="33 components of embeddings that have 32"):
        model.localization_kernels(torch.ones(1, 32), 33)
    with pytest.raises(ValueError, match="32 maps, but texts of 31"):
        model.localization_kernels(torch.ones(1, 31), 3)


def embed_with(images):
    return torch.inference_mode()(lambda model: model.encode_image(images))


def dtype_of(model):
    return model.image_encoder.convolution.weight.dtype


def test_auto_is_bfloat16_for_large_sets_on_fast_hardware_only(model, images, monkeypatch):
    for fast in (True, False):
        monkeypatch.setattr(acceleration, "has_fast_bfloat16", lambda device, fast=fast: fast)
        for items in (9_999, 10_000):
            chosen = accelerate_for(items, model, "auto", embed_with(images))
            assert dtype_of(chosen) is (
                torch.bfloat16 if fast and items == 10_000 else torch.float32
            )


def test_auto_is_float32_where_a_sample_disagrees_or_cannot_be_read(model, images, monkeypatch):
    monkeypatch.setattr(acceleration, "has_fast_bfloat16", lambda device: True)
    nothing = accelerate_for(10_000, model, "auto", lambda model: torch.empty(0, 32))
    assert dtype_of(nothing) is torch.float32
    monkeypatch.setattr(acceleration, "AGREEMENT", 1.1)
    strict = accelerate_for(10_000, model, "auto", embed_with(images))
    assert dtype_of(strict) is torch.float32


def test_a_precision_that_was_asked_for_is_taken_without_a_sample(model):
    def no_sample(model):
        raise AssertionError

    for name in ("float32", "bfloat16"):
        chosen = accelerate_for(10_000, model, name, no_sample)
        assert dtype_of(chosen) is getattr(torch, name)


def test_hardware_is_asked_for_bfloat16():
    capabilities = torch.cpu.get_capabilities()
    expected = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    assert has_fast_bfloat16(CPU) == bool(expected)


@pytest.mark.parametrize("backbone", [LITE, "timm/resnetv2_50", "timm/densenet121"])
@torch.inference_mode()
def test_an_accelerated_timm_model_computes_the_same(backbone):
    model = small(backbone)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
    images = torch.randn(2, 3, 64, 96)
    found, expected = accelerate(model).encode_image(images), model.encode_image(images)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("backbone", ["resnet50", LITE])
def test_an_accelerated_copy_takes_maps_of_the_first_parts_as_the_model_does(backbone):
    model, images = small(backbone), torch.randn(2, 3, 64, 64)
    encoder = model.image_encoder
    encoder.frozen_parts = count_before(encoder.trunk, 2)
    maps = torch.nn.Sequential(*trunk_parts(encoder.trunk)[: encoder.frozen_parts])(images)
    found = accelerate(model).encode_image(maps)
    torch.testing.assert_close(found, model.encode_image(images), atol=1e-4, rtol=0)
