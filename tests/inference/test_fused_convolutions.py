import copy

import pytest
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import nn

from misc.inference import fused_convolutions
from misc.inference.folded_norms import AfterNorm, fold_batch_norms
from misc.inference.fused_convolutions import (
    ACTIVATIONS,
    FusedConvolution,
    SamePadding,
    fuse_activations,
)
from models.backbones import ResNetTrunk, build_trunk
from tests.models.backbones import LITE


@torch.inference_mode()
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 4)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_maps_of_any_size_and_layout_are_computed_in_bfloat16(size, kernel):
    layer = nn.Conv2d(8, 8, kernel, padding=kernel // 2).bfloat16()
    fused = FusedConvolution(layer)
    images, added = torch.randn(2, 2, 8, *size).bfloat16()
    expected = F.relu(layer(images) + added)
    for layout in (torch.channels_last, torch.contiguous_format):
        found = fused(images.contiguous(memory_format=layout), added)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


@torch.inference_mode()
@pytest.mark.parametrize("stride", [1, 2])
def test_a_fused_convolution_is_relu_of_convolution_and_sum(stride):
    layer = nn.Conv2d(4, 6, 3, stride, padding=1)
    images = torch.randn(2, 4, 8, 10)
    maps = layer(images)
    added, before = torch.randn_like(maps), images.clone()
    kept = added.clone()
    torch.testing.assert_close(FusedConvolution(layer)(images), F.relu(maps))
    torch.testing.assert_close(FusedConvolution(layer)(images, added), F.relu(maps + added))
    assert torch.equal(images, before)
    assert torch.equal(added, kept)  # the input of a block is read by its next convolution, too


@torch.inference_mode()
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stages", [1, 4])
def test_a_fused_trunk_computes_the_same_without_a_relu_of_its_own(name, stages):
    torch.manual_seed(0)
    trunk = ResNetTrunk(name, stages).eval()
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.constant_(module.weight, 0.5)
    fold_batch_norms(trunk)
    fused = copy.deepcopy(trunk)
    fuse_activations(fused, torch.float32)
    images = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(fused(images), trunk(images), rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.ReLU) for module in fused.modules())


@torch.inference_mode()
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_those_of_torch(activation, dtype):
    layer = nn.Conv2d(4, 6, 1).to(dtype)
    images = 10 * torch.randn(2, 4, 8, 10).to(dtype)  # some results are above 6
    found = FusedConvolution(layer, *ACTIVATIONS[activation])(images)
    torch.testing.assert_close(found, activation()(layer(images)), rtol=0.02, atol=0.02)


@torch.inference_mode()
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (3, 3, 2)])
@pytest.mark.parametrize("size", [(8, 9), (7, 12), (1, 2)])
def test_zeros_are_as_many_as_those_of_timm(kernel, stride, dilation, size):
    layer = Conv2dSame(4, 6, kernel, stride, dilation=dilation)
    images = torch.randn(2, 4, *size)
    kernels, strides, dilations = [kernel] * 2, [stride] * 2, [dilation] * 2
    expected = pad_same(images, kernels, strides, dilations)
    assert torch.equal(SamePadding(layer)(images), expected)


@torch.inference_mode()
@pytest.mark.parametrize(("name", "left"), [(LITE, 0), ("timm/efficientnet_b0", 16)])
def test_in_networks_of_timm_activations_of_norms_are_fused(name, left):
    trunk = build_trunk(name, 4).eval()
    fold_batch_norms(trunk)
    fused, images = copy.deepcopy(trunk), torch.randn(1, 3, 64, 96)
    fuse_activations(fused, torch.float32)
    expected = trunk(images)
    torch.testing.assert_close(fused(images), expected, rtol=1e-3, atol=1e-3 * expected.max())
    before, after = (
        sum(type(module) in ACTIVATIONS for module in network.modules())
        for network in (trunk, fused)
    )
    assert (after, before > 30) == (left, True)


@torch.inference_mode()
@pytest.mark.parametrize(
    "settings", [{"padding_mode": "reflect", "padding": 1}, {"padding": "same"}]
)
def test_convolutions_that_pad_otherwise_are_left_alone(settings):
    trunk = build_trunk(LITE, 4).eval()
    layer, rest = nn.Conv2d(3, 4, 3, **settings), AfterNorm(nn.ReLU())
    trunk.network = nn.Sequential(layer, rest)
    fuse_activations(trunk, torch.float32)
    assert list(trunk.network) == [layer, rest]


@torch.inference_mode()
def test_activations_that_were_no_norms_are_left_alone():
    trunk = build_trunk(LITE, 4).eval()
    layers = [nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU())]
    trunk.network = nn.Sequential(*layers)
    fuse_activations(trunk, torch.float32)
    assert list(trunk.network) == layers


def test_where_torch_lacks_the_operations_the_trunk_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(fused_convolutions, "_can_fuse", lambda device, dtype: False)
    trunk = ResNetTrunk("resnet18", 1).eval()
    before = list(trunk.modules())
    fuse_activations(trunk, torch.float32)
    assert list(trunk.modules()) == before


def test_gpus_and_processors_without_bfloat16_are_left_alone(monkeypatch):
    cpu = torch.device("cpu")
    assert not fused_convolutions._can_fuse(torch.device("meta"), torch.float32)
    for supported in (True, False):
        operations = torch.ops.mkldnn
        monkeypatch.setattr(operations, "_is_mkldnn_bf16_supported", lambda s=supported: s)
        assert fused_convolutions._can_fuse(cpu, torch.bfloat16) is supported
        assert fused_convolutions._can_fuse(cpu, torch.float32)
