import json

import pytest
import torch

from misc.data.outlines import read_instances
from misc.evaluation.segmentation import score_pairs
from tests.evaluation.segmentation_twins import twin_overlap, twin_target, write_photographs


@pytest.fixture
def two_photographs(tmp_path):
    return write_photographs(tmp_path / "root")


def test_overlaps_of_photographs_equal_twins_of_both_kinds(two_photographs):
    image = read_instances(two_photographs)[0][0]
    heat = torch.randn(1, 13, 13, generator=torch.Generator().manual_seed(0))
    annotations = json.loads(two_photographs.instances.read_text())["annotations"][:2]
    targets = [twin_target(annotations, 96, 57, published) for published in (False, True)]
    expected = [twin_overlap(heat[0].numpy(), target) for target in targets]
    categories, overlaps = score_pairs(image, heat, 0.45)
    assert categories == [0]
    assert overlaps[0].tolist() == pytest.approx([*expected, targets[0].mean()], abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3
