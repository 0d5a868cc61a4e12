import math

import pytest
import torch
import torch.nn.functional as F

from misc.evaluation import retrieval as evaluation
from misc.evaluation.retrieval import format_metrics, rank_pairs, retrieval_metrics


def naive_ranks(queries, items, relevant):
    """Rank of the best relevant item of each query, one comparison at a time."""
    ranks = []
    for query, ids in zip(queries, relevant, strict=True):
        scores = [float(query @ item) for item in items]
        best = max(scores[i] for i in ids)
        ranks.append(1 + sum(score >= best for i, score in enumerate(scores) if i not in ids))
    return ranks


def naive_metrics(images, captions, caption_image):
    of_image = [[c for c, i in enumerate(caption_image) if i == row] for row in range(len(images))]
    ranks = {
        "i2t": naive_ranks(images, captions, of_image),
        "t2i": naive_ranks(captions, images, [[int(i)] for i in caption_image]),
    }
    result = {}
    for name, values in ranks.items():
        for k in (1, 5, 10):
            result[f"{name}/R@{k}"] = 100 * sum(rank <= k for rank in values) / len(values)
        ordered, half = sorted(values), len(values) // 2
        odd = len(values) % 2
        result[f"{name}/median_rank"] = (
            ordered[half] if odd else (ordered[half] + ordered[half - 1]) / 2
        )
        result[f"{name}/mean_rank"] = sum(values) / len(values)
    result["rsum"] = sum(value for key, value in result.items() if "R@" in key)
    return result


def random_set(images=23, captions=61):
    generator = torch.Generator().manual_seed(0)
    caption_image = torch.randint(images, (captions,), generator=generator)
    caption_image[:images] = torch.arange(images)
    # Small whole numbers: exact in any order of addition, with many ties.
    rows = torch.randint(-2, 3, (images + captions, 6), generator=generator).float()
    return rows[:images], rows[images:], caption_image


@pytest.mark.parametrize("chunk", [1024, 7, 1])
def test_metrics_equal_a_naive_twin_also_with_ties_and_in_chunks(monkeypatch, chunk):
    monkeypatch.setattr(evaluation, "CHUNK", chunk)
    data = random_set()
    assert retrieval_metrics(*data) == pytest.approx(naive_metrics(*data), abs=1e-9)


@pytest.mark.parametrize("chunk", [1024, 7])
def test_ranks_without_hubs_equal_a_twin_in_folds_too(monkeypatch, chunk):
    monkeypatch.setattr(evaluation, "CHUNK", chunk)
    images, captions, caption_image = random_set()
    reference = torch.randint(-2, 3, (2, 16, 6), generator=torch.Generator().manual_seed(1))

    def corrected(items, others):
        """Append what is taken from the similarity with a query, whose last component is 1."""
        nearest = [sorted((item @ other).item() for other in others)[-10:] for item in items]
        penalties = torch.tensor([[-sum(near) / 20] for near in nearest])
        return torch.cat([items, penalties], dim=1)

    def query(rows):
        return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)

    (found,) = rank_pairs(images, captions, caption_image, reference=reference)
    for direction, queries, items, others, relevant in (
        ("i2t", images, captions, reference[0], lambda row: caption_image == row),
        ("t2i", captions, images, reference[1], lambda row: torch.arange(23) == caption_image[row]),
    ):
        rows = [relevant(row).nonzero().flatten().tolist() for row in range(len(queries))]
        twin = naive_ranks(query(queries), corrected(items, others.float()), rows)
        assert found[direction].ranks.tolist() == twin
    folds = rank_pairs(images, captions, caption_image, 2, reference)
    own = caption_image < 12
    (first,) = rank_pairs(images[:12], captions[own], caption_image[own], reference=reference)
    assert folds[0]["t2i"].ranks.tolist() == first["t2i"].ranks.tolist()


def test_folds_are_averaged_and_nothing_is_dropped_when_they_are_uneven():
    images, captions, caption_image = random_set()
    parts = []
    for first, last in ((0, 12), (12, 23)):
        chosen = (caption_image >= first) & (caption_image < last)
        parts.append(
            naive_metrics(images[first:last], captions[chosen], caption_image[chosen] - first)
        )
    mean = {key: (parts[0][key] + parts[1][key]) / 2 for key in parts[0]}
    result = retrieval_metrics(images, captions, caption_image, folds=2)
    assert result == pytest.approx(mean, abs=1e-9)


def test_a_perfect_embedding_scores_100():
    images = torch.eye(12)
    metrics = retrieval_metrics(images, images.repeat_interleave(3, 0), torch.arange(36) // 3)
    assert metrics["t2i/R@1"] == metrics["i2t/R@5"] == 100
    assert metrics["t2i/median_rank"] == 1


def test_a_collapsed_embedding_scores_0():
    same = F.normalize(torch.ones(40, 16), dim=1)
    metrics = retrieval_metrics(same[:20], same, torch.arange(40) // 2)
    assert metrics["rsum"] == 0
    assert metrics["t2i/median_rank"] == 20


def test_ranks_by_hand():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    captions = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    metrics = retrieval_metrics(images, captions, torch.tensor([0, 0, 1]))
    assert metrics["i2t/R@1"] == 100
    assert metrics["t2i/R@1"] == pytest.approx(200 / 3)
    assert metrics["t2i/mean_rank"] == pytest.approx(4 / 3)


def test_equal_captions_of_one_image_are_not_held_against_each_other():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    captions = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    both = torch.tensor([0, 0, 0, 1])
    assert retrieval_metrics(images, captions, both)["i2t/mean_rank"] == 1
    other = torch.tensor([0, 0, 1, 1])  # one of the three is of the other image
    assert retrieval_metrics(images, captions, other)["i2t/mean_rank"] == pytest.approx((2 + 1) / 2)


def test_an_image_without_captions_is_a_distractor_but_no_query():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    metrics = retrieval_metrics(images, images[:2], torch.tensor([0, 1]))
    assert metrics["i2t/R@1"] == 100
    assert metrics["t2i/R@1"] == 50


@pytest.mark.parametrize(("side", "row"), [("image", 3), ("caption", 5)])
def test_a_non_finite_embedding_is_an_error_that_names_the_item(side, row):
    images, captions, caption_image = random_set()
    (images if side == "image" else captions)[row, 2] = math.nan
    with pytest.raises(ValueError, match=f"embedding of {side} {row} is not finite"):
        retrieval_metrics(images, captions, caption_image)


@pytest.mark.parametrize(
    ("captions", "rows", "folds", "message"),
    [
        (torch.eye(3), [0, 1], 1, "3 captions, but 2 rows"),
        (torch.eye(3), [0, 1, 7], 1, "outside 0 to 2"),
        (torch.eye(3), [0, 1, 2], 4, "into 4 folds"),
        (torch.zeros(0, 3), [], 1, "nothing to retrieve"),
        (torch.eye(3), [0, 0, 0], 3, "no caption describes the images 1 to 1"),
    ],
)
def test_what_does_not_fit_is_an_error(captions, rows, folds, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(torch.eye(3), captions, torch.tensor(rows), folds)


def test_the_table_names_both_directions():
    table = format_metrics(retrieval_metrics(*random_set()))
    assert "image -> caption" in table
    assert "caption -> image" in table
    assert len(table.splitlines()) == 4
