import dataclasses
import json

import faiss
import pytest
import torch
import torch.nn.functional as F

from misc.features import search_index
from misc.features.search import nearest
from misc.features.search_index import FEW, SearchIndex, fingerprint, index_kind, open_index
from misc.features.writing import save_embeddings
from misc.runtime.files import FullDiskError
from tests.features.rows import DIMENSION, unit_rows


def names_of(rows):
    return [f"row {number}" for number in range(len(rows))]


def test_the_kind_of_an_index_follows_from_the_number_of_rows():
    kinds = [index_kind(count) for count in (1, 9_999, 10_000, 999_999, 4_000_000)]
    assert kinds == ["Flat", "Flat", "IVF100,SQfp16", "IVF999,SQfp16", "IVF2000,SQ8"]
    for kind in kinds:
        faiss.index_factory(DIMENSION, kind, faiss.METRIC_INNER_PRODUCT)


def test_an_older_index_stays_whole_when_the_disk_is_full(tmp_path, monkeypatch):
    rows = unit_rows(20)
    SearchIndex.build(names_of(rows), rows).save(tmp_path / "a.faiss")

    def fill(index, path):
        raise RuntimeError("write error in fwrite: No space left on device")

    monkeypatch.setattr(faiss, "write_index", fill)
    with pytest.raises(FullDiskError, match="a.faiss cannot be written .*write error"):
        SearchIndex.build(names_of(rows[:9]), rows[:9]).save(tmp_path / "a.faiss")
    assert len(SearchIndex.load(tmp_path / "a.faiss").names) == 20


def test_a_name_that_faiss_cannot_open_is_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="caf.*a.faiss: FAISS opens names in UTF-8 only"):
        open_index(tmp_path / "caf\udce9" / "a.faiss", tmp_path / "absent.npz", DIMENSION)


def test_a_small_index_finds_what_exact_search_finds():
    rows, queries = unit_rows(300), unit_rows(5, seed=1)
    index = SearchIndex.build(names_of(rows), rows)
    scores, found = index.search(queries, 7)
    expected = nearest(queries, rows, 7)
    assert (index.recall, index.kind) == (1, "Flat")
    assert (found == expected[1]).all()
    torch.testing.assert_close(scores, expected[0])
    assert index.search(queries, 1000)[1].shape == (5, 300)


@pytest.fixture(params=["SQfp16", "SQ8"])
def lists(request, monkeypatch):
    """Index lists of a few rows only, with numbers of either length."""
    monkeypatch.setattr(search_index, "FEW", 1000)
    monkeypatch.setattr(search_index, "MANY", 10_000 if request.param == "SQfp16" else 1000)
    return request.param


@pytest.fixture
def clusters():
    centres, noise = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)), 0.5
    rows = centres.repeat(60, 1) + noise * torch.randn(
        2400, 64, generator=torch.Generator().manual_seed(1)
    )
    return F.normalize(rows, dim=1)


def test_an_index_of_lists_knows_its_recall(lists, clusters, caplog):
    with caplog.at_level("INFO"):
        index = SearchIndex.build(names_of(clusters), clusters)
    assert index.kind == f"IVF48,{lists}"
    assert f"index IVF48,{lists}: recall@10 {index.recall:.3f} against exact search" in caplog.text
    queries = F.normalize(clusters[::40] + 0.02 * unit_rows(60, 64, seed=2), dim=1)
    found, exact = index.search(queries, 10)[1], nearest(queries, clusters, 10)[1]
    recall = (found[:, :, None] == exact[:, None]).any(dim=2).float().mean().item()
    assert index.recall >= search_index.TARGET
    assert recall == pytest.approx(index.recall, abs=0.03)
    assert faiss.extract_index_ivf(index.faiss_index).nprobe < 48


def test_recall_is_that_of_the_other_rows_by_hand(clusters):
    index = faiss.IndexFlatIP(64)
    index.add(clusters.numpy())
    held = torch.arange(0, 2400, 100)
    assert search_index._measure_recall(index, clusters, held) == 1
    opposite = faiss.IndexFlatIP(64)
    opposite.add(-clusters.numpy())
    assert search_index._measure_recall(opposite, clusters, held) == 0
    neighbours = nearest(clusters[held], clusters, 6)[1]  # itself and five others
    few = clusters.clone()
    missing = torch.ones(2400, dtype=torch.bool)
    missing[neighbours[0]] = False
    few[missing] = 0
    half = faiss.IndexFlatIP(64)
    half.add(few.numpy())
    assert search_index._measure_recall(half, clusters, held[:1]) == 0.5


def test_equal_rows_count_as_found_whichever_they_are(lists):
    rows = unit_rows(20, 64).repeat(100, 1)
    assert SearchIndex.build(names_of(rows), rows).recall == 1


def test_an_index_comes_back_from_its_files(lists, clusters, tmp_path):
    built = SearchIndex.build([f"é\n{number}\udcff" for number in range(2400)], clusters)
    built.save(tmp_path / "deep" / "a.faiss")
    loaded = SearchIndex.load(tmp_path / "deep" / "a.faiss")
    for field in dataclasses.fields(SearchIndex)[1:]:
        assert getattr(loaded, field.name) == getattr(built, field.name)
    queries = unit_rows(8, 64, seed=1)
    for ours, theirs in zip(built.search(queries, 5), loaded.search(queries, 5), strict=True):
        assert torch.equal(ours, theirs)
    assert sorted(file.name for file in (tmp_path / "deep").iterdir()) == [
        "a.faiss",
        "a.faiss.json",
    ]


def test_another_extraction_has_another_fingerprint():
    rows, names = unit_rows(500), names_of(range(500))
    same = fingerprint(names, rows)
    assert fingerprint(tuple(names), rows.clone()) == same
    assert fingerprint([*names[:-1], "other"], rows) != same
    assert fingerprint(names, unit_rows(500, seed=1)) != same
    assert fingerprint(["ab", "c"], rows[:2]) != fingerprint(["a", "bc"], rows[:2])


def test_an_index_is_built_once_and_a_stale_one_is_refused(tmp_path):
    path, features = tmp_path / "a.faiss", tmp_path / "a.npz"
    save_embeddings(features, names_of(range(30)), unit_rows(30))
    open_index(path, features, DIMENSION)
    written = path.stat().st_mtime_ns
    assert open_index(path, features, DIMENSION).names == names_of(range(30))
    assert open_index(path, None, DIMENSION).names == names_of(range(30))
    assert path.stat().st_mtime_ns == written
    save_embeddings(features, names_of(range(31)), unit_rows(31), force=True)
    with pytest.raises(ValueError, match="a.faiss is stale.* 30 other rows.* has 31 .*delete"):
        open_index(path, features, DIMENSION)
    with pytest.raises(ValueError, match="a.faiss has embeddings of 16 dim.* the model have 8"):
        open_index(path, None, 8)


def test_an_index_that_is_missing_broken_or_half_written_says_so(tmp_path):
    path = tmp_path / "a.faiss"
    with pytest.raises(FileNotFoundError, match="no index at .*a.faiss; -f FEATURES builds it"):
        SearchIndex.load(path)
    SearchIndex.build(["a", "b"], unit_rows(2)).save(path)
    description = tmp_path / "a.faiss.json"
    text = json.loads(description.read_text(encoding="utf-8"))
    description.write_text(json.dumps(text | {"names": ["a"]}), encoding="utf-8")
    with pytest.raises(ValueError, match="a.faiss has 2 rows, but .*a.faiss.json names 1"):
        SearchIndex.load(path)
    description.unlink()
    with pytest.raises(ValueError, match="no index that was written whole .*a.faiss.json"):
        SearchIndex.load(path)
    path.write_bytes(b"no index")
    with pytest.raises(ValueError, match="no index that was written whole"):
        SearchIndex.load(path)


def test_equal_rows_are_all_found_though_they_share_few_lists():
    rows = unit_rows(1).expand(FEW + 50, -1).contiguous()
    index = SearchIndex.build([str(number) for number in range(len(rows))], rows)
    scores, found = index.search(-rows[:1], 10)
    assert index.kind != "Flat" and (found >= 0).all()
    assert scores[0].tolist() == pytest.approx([-1.0] * 10, abs=1e-2)
    lists = faiss.extract_index_ivf(index.faiss_index)
    assert lists.nprobe <= lists.nlist


def test_any_row_that_changed_makes_an_index_stale():
    rows = unit_rows(1000)
    before = fingerprint(["a"] * 1000, rows)
    rows[501] = rows[500]
    assert fingerprint(["a"] * 1000, rows) != before
