import copy
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from misc.inference.folded_norms import can_fold, folding_norms
from models.backbones import build_trunk
from tests.models.backbones import LITE, with_used_norms


def used(trunk):
    torch.manual_seed(0)
    return with_used_norms(trunk).double()


def gradients(trunk, images):
    trunk.zero_grad()
    maps = trunk(images)
    maps.square().sum().backward()
    return maps.detach(), {name: weight.grad for name, weight in trunk.named_parameters()}


@pytest.mark.parametrize("name", ["resnet18", "resnet50", LITE])
def test_folded_norms_give_the_same_maps_and_gradients(name):
    trunk = used(build_trunk(name, 4)).eval()
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64, requires_grad=True)
    maps, expected = gradients(trunk, images)
    at_pixels = images.grad
    images.grad = None
    with folding_norms(trunk):
        found, weights = gradients(trunk, images)
    torch.testing.assert_close(found, maps)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(images.grad, at_pixels)


def test_norms_do_no_work_while_they_are_folded_and_do_it_again_afterwards(monkeypatch):
    trunk, images = build_trunk("resnet18", 1).eval(), torch.randn(1, 3, 64, 64)
    keys, norms = list(trunk.state_dict()), Mock(wraps=nn.functional.batch_norm)
    monkeypatch.setattr(nn.functional, "batch_norm", norms)
    with pytest.raises(KeyboardInterrupt), folding_norms(trunk):
        trunk(images)
        assert not norms.called
        assert list(trunk.state_dict()) == keys
        raise KeyboardInterrupt
    trunk(images)
    assert norms.call_count == 5


def test_norms_that_train_see_their_batch():
    trunk = used(build_trunk("resnet18", 2)).eval()
    list(trunk.children())[-1].train()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    twin, before = copy.deepcopy(trunk), copy.deepcopy(trunk.state_dict())
    expected = twin(images)
    with folding_norms(trunk):
        torch.testing.assert_close(trunk(images), expected)
    torch.testing.assert_close(trunk.state_dict(), twin.state_dict())
    changed = [name for name, value in trunk.state_dict().items() if (value != before[name]).any()]
    assert len(changed) == 3 * 5  # the statistics of the stage that trains, and their counts
    assert all(name.startswith("5.") for name in changed)


class NormFirst(nn.Module):
    """Registers a norm after the convolution that it runs before."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.convolution(self.norm(images))


def test_norms_that_run_elsewhere_are_not_folded():
    trunk = build_trunk(LITE, 4)
    trunk.network = NormFirst()
    used(trunk).eval()
    assert not can_fold(trunk)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    expected = trunk(images)
    with folding_norms(trunk):
        assert torch.equal(trunk(images), expected)
