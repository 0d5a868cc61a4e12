import numpy as np
import pytest
import torch

from misc.features import search as search_module
from misc.features.search import NEIGHBOURS, Answer, Found, hubness, name_answers, nearest
from tests.features.rows import unit_rows


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_nearest_rows_are_those_of_argsort_whatever_the_block(block, monkeypatch):
    monkeypatch.setattr(search_module, "BLOCK", block)
    rows, queries = unit_rows(100), unit_rows(9, seed=1)
    scores, found = nearest(queries, rows, 5)
    whole = (queries @ rows.T).numpy()
    order = np.argsort(-whole, axis=1)[:, :5]
    assert (found.numpy() == order).all()
    torch.testing.assert_close(scores, torch.from_numpy(np.take_along_axis(whole, order, axis=1)))


@pytest.mark.parametrize("block", [2, 3, 100])
def test_of_equal_scores_the_lower_row_comes_first(block, monkeypatch):
    monkeypatch.setattr(search_module, "BLOCK", block)
    rows = torch.tensor([[0.5], [1.0], [0.5], [1.0], [0.5], [1.0], [0.25]])
    scores, found = nearest(torch.ones(1, 1), rows, 5)
    assert found.tolist() == [[1, 3, 5, 0, 2]]
    assert scores.tolist() == [[1, 1, 1, 0.5, 0.5]]


def test_more_than_all_rows_are_all_rows():
    scores, found = nearest(torch.ones(2, 1), torch.tensor([[0.0], [2.0], [1.0]]), 10)
    assert found.tolist() == [[1, 2, 0]] * 2
    assert scores.shape == (2, 3)


def test_rows_of_half_precision_in_a_mapped_file_can_be_searched(tmp_path):
    np.save(tmp_path / "rows.npy", unit_rows(50).half().numpy())
    rows = torch.from_numpy(np.load(tmp_path / "rows.npy", mmap_mode="c"))
    queries = unit_rows(3, seed=1)
    scores, found = nearest(queries, rows, 4)
    expected = (queries @ rows.float().T).topk(4)
    assert scores.dtype == torch.float32
    assert (found == expected.indices).all()


def test_queries_of_another_dimension_are_an_error():
    with pytest.raises(ValueError, match="queries of 3 dimensions, but embeddings of 16"):
        nearest(torch.ones(1, 3), unit_rows(2), 1)


def test_answers_have_names_and_leave_out_what_was_not_found():
    scores, rows = torch.tensor([[0.5, 0.25], [1.0, 0.0]]), torch.tensor([[1, 0], [0, -1]])
    assert name_answers(["x", "y"], ["a", "b"], scores, rows) == [
        Answer("x", [Found("b", 0.5), Found("a", 0.25)]),
        Answer("y", [Found("a", 1.0)]),
    ]


def test_a_hub_is_near_to_what_is_near_to_it_at_most():
    items = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8]])
    reference = torch.tensor([[0.8, 0.6], [0.6, 0.8], [-1, 0]])
    expected = [(0.8 + 0.6 - 1) / 3, (0.6 + 0.8 + 0) / 3, (0.96 + 1 - 0.6) / 3]  # of three at most
    assert hubness(items, reference).tolist() == pytest.approx(expected)
    many = torch.cat([reference[:1].expand(NEIGHBOURS, 2), reference])  # the nearest ten alone
    assert hubness(items[:1], many.half()).tolist() == pytest.approx([0.8], abs=1e-3)


def test_rows_without_hubs_equal_a_twin_block_by_block(monkeypatch):
    monkeypatch.setattr(search_module, "BLOCK", 7)
    queries, rows = unit_rows(3), unit_rows(40, seed=1)
    reference = torch.stack([unit_rows(15, seed=2), unit_rows(15, seed=3)]).half()
    near = (rows @ reference.float().mT).sort(dim=2, descending=True).values[..., :10].mean(dim=2)
    kinds = near[[1, 1, 0]]  # two texts by captions, an image by images
    expected = (queries @ rows.T - kinds / 2).sort(dim=1, descending=True)
    scores, found = nearest(queries, rows, 6, reference, texts=2)
    assert found.tolist() == expected.indices[:, :6].tolist()
    torch.testing.assert_close(scores, expected.values[:, :6])
    assert found.tolist() != nearest(queries, rows, 6)[1].tolist()
