import dataclasses
import math

import numpy as np
import torch

from misc.inference.batches import embed_and_map, share_alike
from models.joint_embedding import JointEmbedding
from tests.scripts.localization import twin_shared
from tests.scripts.miniature import MINIATURE


def test_locations_become_the_mean_of_all_as_they_are_like_them():
    maps = torch.tensor([[2.0, 5, 0], [0, 0, 1]]).view(1, 2, 1, 3)  # two alike, one of its own
    shared = share_alike(maps, math.log(2))[0, :, 0]
    # Weights of 2, 2 and 1 in fifths, and of 1, 1 and 2 in quarters, of unit vectors.
    expected = torch.tensor([[0.8, 0.8, 0.5], [0.2, 0.2, 0.5]])
    torch.testing.assert_close(shared, expected)


def test_shared_maps_equal_a_twin_image_by_image():
    maps = torch.randn(2, 5, 3, 4, generator=torch.manual_seed(0))
    maps[1] *= 100  # how strong a location is does not matter
    shared = share_alike(maps, 4)
    for image, own in zip(maps.double().numpy(), shared, strict=True):
        np.testing.assert_allclose(own, twin_shared(image, 4), rtol=1e-4, atol=1e-6)
    assert share_alike(maps, 0) is maps
    assert share_alike(torch.zeros(1, 5, 3, 4), 4).count_nonzero() == 0


def test_maps_are_shared_as_the_model_says_unless_told_otherwise():
    config = dataclasses.replace(MINIATURE, localization_affinity=3.0)
    model, images = JointEmbedding(config).eval(), torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        embeddings, plain = embed_and_map(model, images, affinity=0)
        own_embeddings, own = embed_and_map(model, images)
        _, other = embed_and_map(model, images, affinity=5)
    torch.testing.assert_close(own, share_alike(plain, 3))
    torch.testing.assert_close(other, share_alike(plain, 5))
    torch.testing.assert_close(own_embeddings, embeddings)  # heat maps alone are shared
    assert not torch.allclose(own, plain)
