import pytest
import torch
from torch import nn

from misc.runtime.convolutions import waits
from misc.runtime.device import autocast

CPU = torch.device("cpu")
LAYERS = [(3, 2, 1, True), (7, (2, 2), 1, True), ((1, 3), (1, 2), 1, True)]
LAYERS += [(3, 1, 1, False), (1, 2, 1, False), (3, 2, 4, False)]


@pytest.mark.parametrize(("kernel", "stride", "groups", "exact"), LAYERS)
def test_strided_kernels_wider_than_a_pixel_compute_in_float32(kernel, stride, groups, exact):
    torch.manual_seed(0)
    layer, images = nn.Conv2d(4, 8, kernel, stride, groups=groups), torch.randn(2, 4, 9, 9)
    assert waits(layer.weight, layer.stride, groups) is exact
    with autocast(CPU, "bfloat16"):
        result = layer(images)
    assert result.dtype is torch.bfloat16
    assert torch.equal(result, layer(images).bfloat16()) is exact


def test_strided_convolutions_give_what_autocast_gives_but_for_rounding():
    layer, images = nn.Conv2d(4, 8, 3), torch.randn(2, 4, 9, 9).bfloat16()
    for options in (
        {"stride": 2, "padding": 1},
        {"stride": (2, 1), "dilation": 2, "padding": "valid"},
    ):
        with torch.autocast("cpu", torch.bfloat16):
            expected = torch.conv2d(images, layer.weight, layer.bias, **options)
        with autocast(CPU, "bfloat16"):
            found = torch.conv2d(images, layer.weight, bias=layer.bias, **options)
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.01)


def test_gradients_agree_with_float32_to_the_rounding_of_bfloat16():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), nn.Conv2d(16, 8, 3, 2), nn.Flatten()
    )
    images, gradients = torch.randn(4, 3, 32, 32), []
    for precision in ("float32", "bfloat16"):
        network.zero_grad()
        with autocast(CPU, precision):
            result = network(images)
        result.float().square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for exact, rounded in zip(*gradients, strict=True):
        assert rounded.dtype is torch.float32
        assert (exact - rounded).norm() < 0.02 * exact.norm()


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_gpus_and_float32_are_left_alone(monkeypatch):
    monkeypatch.setattr("misc.runtime.device.ExactStridedConvolutions", None)  # not to be called
    with autocast(CPU, "float32"), autocast(torch.device("cuda"), "bfloat16"):
        pass
    with pytest.raises(TypeError), autocast(CPU, "bfloat16"):
        pass
