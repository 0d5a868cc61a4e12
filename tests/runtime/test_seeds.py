import torch

from misc.runtime.seeds import mixed_seed, seed_generators


def test_seeds_of_neighbours_are_far_apart_and_order_matters():
    seeds = {mixed_seed(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
    assert mixed_seed(1, 2) != mixed_seed(2, 1)


def test_seeding_repeats_the_numbers():
    device = torch.device("cpu")
    seed_generators(device, 1, 2)
    first = torch.rand(3)
    seed_generators(device, 1, 2)
    assert torch.equal(torch.rand(3), first)
