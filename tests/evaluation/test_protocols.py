import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from misc.data import positives
from misc.data.captioned_images import CaptionedImage
from misc.data.positives import read_positives
from misc.evaluation.protocols import (
    check_protocol,
    format_protocols,
    protocol_metrics,
    score_queries,
)


def test_measures_by_hand():
    items = torch.tensor([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4]])
    found = [frozenset({10, 12, 99}), frozenset({11}), frozenset({99})]  # 99 is not there
    scored = score_queries(torch.ones(3, 1), items, [10, 11, 12, 13, 14, 15], found)
    torch.testing.assert_close(scored.precision, torch.tensor([2 / 3, 0, 0]))
    torch.testing.assert_close(scored.average, torch.tensor([(1 + 2 / 3) / 3, 0, 0]))
    assert scored.recalls.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_ties_count_against_the_query():
    scored = score_queries(torch.ones(1, 1), torch.ones(12, 1), range(12), [frozenset({0, 1})])
    assert scored.recalls.tolist() == [[0, 0, 0]]  # behind ten others
    assert (scored.average.item(), scored.precision.item()) == (0, 0)


def random_embeddings(images):
    generator = torch.Generator().manual_seed(0)
    owners = [row for row, image in enumerate(images) for _ in image.captions]
    vectors = F.normalize(torch.randn(len(images), 16, generator=generator), dim=1)
    noise = torch.randn(len(owners), 16, generator=generator)
    return vectors, F.normalize(vectors[owners] + 0.2 * noise, dim=1)


def images_of_the_package(metrics):
    """The first 300 of its images, with made-up texts."""
    pairs = list(metrics.coco_gts["i2t"].items())[:300]
    return [
        CaptionedImage(image, Path("a.jpg"), ("a",) * len(ids), caption_ids=tuple(ids))
        for image, ids in pairs
    ]


def images_at_hand(real_data):
    """Photographs of COCO, with the ids of their captions."""
    content = json.loads((real_data / "coco/annotations/captions_val2014.json").read_text())
    captions: dict[int, list[int]] = {}
    for entry in content["annotations"]:
        captions.setdefault(entry["image_id"], []).append(entry["id"])
    return [
        CaptionedImage(image, Path("a.jpg"), ("a",) * len(ids), caption_ids=tuple(ids))
        for image, ids in captions.items()
    ]


@pytest.mark.parametrize("at_hand", [False, True])
def test_the_figures_are_those_of_the_package(request, at_hand):
    package = pytest.importorskip("eccv_caption", reason="requirements-eccv.txt")
    metrics = package.Metrics()
    images = (
        images_at_hand(request.getfixturevalue("real_data"))
        if at_hand
        else images_of_the_package(metrics)
    )
    vectors, texts = random_embeddings(images)
    image_ids = [image.image_id for image in images]
    caption_ids = [number for image in images for number in image.caption_ids]
    scores = vectors @ texts.T
    captions_first = torch.tensor(caption_ids)[scores.argsort(dim=1, descending=True)].tolist()
    images_first = torch.tensor(image_ids)[scores.T.argsort(dim=1, descending=True)].tolist()
    ranked = {
        "i2t": dict(zip(image_ids, captions_first, strict=True)),
        "t2i": dict(zip(caption_ids, images_first, strict=True)),
    }
    for truth in (metrics.eccv_gts, metrics.cxc_gts):  # only the queries at hand
        for direction in ranked:
            truth[direction] = {k: v for k, v in truth[direction].items() if k in ranked[direction]}
    names = {"mAP@R": "eccv_map_at_r", "R-Precision": "eccv_rprecision", "R@1": "eccv_r1"}
    found = protocol_metrics(images, vectors, texts)
    theirs = metrics.eccv_metrics(ranked, "all")
    for direction in ranked:
        assert found[f"eccv/{direction}/queries"] == len(metrics.eccv_gts[direction]) > 0
        for ours, other in names.items():
            assert found[f"eccv/{direction}/{ours}"] == pytest.approx(
                100 * theirs[other][direction]
            )
        for k in (1, 5, 10):
            expected = 100 * metrics.cxc_recalls(ranked, "all", K=k)[direction]
            assert found[f"cxc/{direction}/R@{k}"] == pytest.approx(expected)
    assert 0 < found["eccv/t2i/mAP@R"] < 100
    assert (found["eccv/i2t/all_queries"], found["eccv/t2i/all_queries"]) == (1261, 1332)
    assert "of 1,261 queries only" in format_protocols(found)[1]


def test_what_is_missing_is_said_before_any_work(monkeypatch):
    monkeypatch.setattr(positives, "PACKAGE", "absent_package")
    with pytest.raises(ValueError, match=r"needs: pip install -r requirements-eccv\.txt$"):
        read_positives("eccv")
    monkeypatch.setattr("misc.evaluation.protocols.read_positives", lambda protocol: None)
    with pytest.raises(ValueError, match="--protocol eccv is for --dataset coco"):
        check_protocol([CaptionedImage(1, Path("a.jpg"), ("a",))])
