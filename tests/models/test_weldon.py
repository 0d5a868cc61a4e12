import pytest
import torch

from models.weldon import WeldonPool2d


def test_pooling_adds_the_mean_of_the_highest_and_of_the_lowest_locations():
    maps = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    assert WeldonPool2d(k_max=2)(maps).tolist() == [[8.5 + 1.5]]
    assert WeldonPool2d(k_max=3, k_min=1)(maps).tolist() == [[8 + 1]]
    assert WeldonPool2d(k_max=1, k_min=0)(maps).tolist() == [[9]]


def test_pooling_equals_a_twin_that_sorts():
    maps = torch.randn(3, 5, 4, 7)
    ordered = maps.flatten(2).sort(dim=2).values
    twin = ordered[:, :, -6:].sum(2) / 6 + ordered[:, :, :4].sum(2) / 4
    torch.testing.assert_close(WeldonPool2d(6, 4)(maps), twin, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("k_min", [0, 1, 25, 56])
def test_pooling_is_the_same_with_and_without_gradients(dtype, k_min):
    maps = torch.randn(3, 5, 7, 8).to(dtype).requires_grad_()
    maps.data[1, 2, 3, 4] = float("nan")
    pool = WeldonPool2d(20, k_min)
    with torch.no_grad():
        found = pool(maps)
    assert (found.dtype, pool(maps).requires_grad) == (dtype, True)
    assert found.isnan().nonzero().tolist() == [[1, 2]]
    torch.testing.assert_close(found, pool(maps).detach(), equal_nan=True)


def test_gradient_reaches_only_the_chosen_locations():
    maps = torch.arange(9.0).reshape(1, 1, 3, 3).requires_grad_()
    WeldonPool2d(k_max=2)(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0.5, 0.5]


def test_a_location_chosen_at_both_ends_gets_both_gradients():
    maps = torch.zeros(1, 1, 1, 1, requires_grad=True)
    WeldonPool2d(k_max=1)(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.item() == 2


def test_of_maps_that_lack_locations_in_training_as_much_fewer_are_averaged():
    maps = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    pool = WeldonPool2d(k_max=4, k_min=1, dropout=0.5)
    assert pool.eval()(maps).tolist() == [[7.5 + 1]]
    assert pool.train()(maps).tolist() == [[8.5 + 1]]
    assert WeldonPool2d(k_max=4, k_min=0, dropout=0.9).train()(maps).tolist() == [[9]]


def test_too_few_locations_are_an_error_with_the_numbers():
    with pytest.raises(ValueError, match="at least 15 of them, but the maps are 2x3 = 6"):
        WeldonPool2d()(torch.zeros(1, 1, 2, 3))


@pytest.mark.parametrize(("k_max", "k_min"), [(0, None), (1, -1)])
def test_impossible_k_are_refused(k_max, k_min):
    with pytest.raises(ValueError, match="k_max must be at least 1"):
        WeldonPool2d(k_max, k_min)
