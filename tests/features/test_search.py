import dataclasses
import json
import pickle
import shlex
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import search
from misc.checkpoints.checkpoint import save_checkpoint
from misc.embedder import Embedder
from misc.features import search as search_module
from misc.features import search_index
from misc.features.reading import load_embeddings
from misc.features.search import Answer, Found, name_answers, nearest
from misc.features.search_index import SearchIndex, fingerprint, index_kind, open_index
from misc.features.writing import save_embeddings
from misc.pictures.heat_maps import overlay
from misc.pictures.panels import contact_sheet
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.pictures.test_panels import contains

DIMENSION = 16


def unit_rows(count, dimension=DIMENSION, seed=0):
    return F.normalize(
        torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def names_of(rows):
    return [f"row {number}" for number in range(len(rows))]


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


def test_the_kind_of_an_index_follows_from_the_number_of_rows():
    kinds = [index_kind(count) for count in (1, 9_999, 10_000, 999_999, 4_000_000)]
    assert kinds == ["Flat", "Flat", "IVF100,SQfp16", "IVF999,SQfp16", "IVF2000,SQ8"]
    for kind in kinds:
        faiss.index_factory(DIMENSION, kind, faiss.METRIC_INNER_PRODUCT)


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
    assert index.faiss_index.nprobe < 48


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
    missing = torch.ones(2400, dtype=bool)
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


def test_a_contact_sheet_has_every_image_below_its_heading():
    generator = np.random.default_rng(0)
    square = [Image.fromarray(generator.integers(0, 256, (224, 224, 3), np.uint8)) for _ in "abc"]
    wide = Image.new("RGB", (500, 100), "red")
    sheet = contact_sheet(
        [("a dog " * 60, [("1", square[0]), ("2", wide)]), ("", [("", square[1])])]
    )
    pixels = np.asarray(sheet)
    assert contains(sheet, square[0])
    assert contains(sheet, square[1])
    assert not contains(sheet, square[2])
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == pytest.approx(224 * 45, rel=0.05)


# The script, with a model that knows nothing.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    config = ModelConfig("resnet18", 2, DIMENSION, 2, word_dim=50, sru_layers=1)
    save_checkpoint(
        path, JointEmbedding(config), {"config": {"word_vectors": "glove", "dataset": "toy"}}
    )
    return path


@pytest.fixture(scope="module")
def embedder(checkpoint, toy_root):
    return Embedder(checkpoint, device="cpu", data_root=toy_root, image_size=32)


@pytest.fixture(scope="module")
def photos(toy_root):
    return sorted((toy_root / "toy" / "coco" / "images" / "val2014").iterdir())[:12]


@pytest.fixture(scope="module")
def features(photos, embedder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    rows = embedder.embed_images(photos)
    for suffix in (".npz", ".npy", ".parquet"):
        save_embeddings(folder / f"images{suffix}", list(map(str, photos)), rows)
    texts = ["a dog", "a red car", "a kite over a house", "x" * 300]
    save_embeddings(folder / "texts.npz", texts, embedder.embed_texts(texts))
    save_embeddings(folder / "none.npz", [], torch.empty(0, DIMENSION))
    save_embeddings(folder / "other.npz", ["a"], unit_rows(1, 5))
    return folder


@pytest.fixture
def ask(checkpoint, toy_root):
    def run(*arguments):
        command = ["-p", checkpoint, "--data-root", toy_root, "--workers", 0, "--device", "cpu"]
        command += ["--image-size", 32, "-k", 5, *arguments]
        return search.main(search.get_parser().parse_args(list(map(str, command))))

    return run


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet"])
def test_texts_find_the_images_with_the_most_similar_embeddings(
    suffix, ask, features, embedder, photos, tmp_path, capsys
):
    texts = ["a dog", "a pizza and a kite"]
    options = "-f", features / f"images{suffix}", "--top", 4, "--json", tmp_path / "a.json"
    results = ask(*texts, *options)
    similarity = embedder.embed_texts(texts) @ embedder.embed_images(photos).T
    scores, rows = similarity.topk(4)
    assert [answer["query"] for answer in results["queries"]] == texts
    for answer, row, score in zip(results["queries"], rows, scores.tolist(), strict=True):
        assert [found["name"] for found in answer["found"]] == [str(photos[i]) for i in row]
        assert [found["score"] for found in answer["found"]] == pytest.approx(score, abs=1e-6)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == results
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a dog"
    assert printed[1] == f"  {scores[0, 0]:.4f}  {photos[rows[0, 0]]}"
    assert len(printed) == 2 * (1 + 4)


def test_an_image_finds_itself_and_texts_beside_a_text_query(ask, features, photos, tmp_path):
    results = ask("-i", photos[3], "-f", features / "images.npz", "--top", 2)
    [answer] = results["queries"]
    assert answer["query"] == answer["found"][0]["name"] == str(photos[3])
    assert answer["found"][0]["score"] == pytest.approx(1, abs=1e-5)
    results = ask("a dog", "-i", photos[3], "-f", features / "texts.npz")
    assert [answer["query"] for answer in results["queries"]] == ["a dog", str(photos[3])]
    assert results["queries"][0]["found"][0]["name"] == "a dog"
    assert [len(answer["found"]) for answer in results["queries"]] == [4, 4]


def test_an_image_query_needs_no_word_vectors(ask, features, photos, tmp_path):
    absent = "--word-vectors", tmp_path / "absent"
    ask("-i", photos[3], "-f", features / "images.npz", *absent)
    with pytest.raises(FileNotFoundError, match="no word vectors"):
        ask("a dog", "-f", features / "images.npz", *absent)


def test_only_the_first_sentence_of_a_query_counts_if_that_is_asked_for(ask, features):
    options = "-f", features / "texts.npz", "--first-sentence"
    first, dog = (
        ask(text, *options)["queries"][0]["found"] for text in ("a dog. a cat.", "a dog.")
    )
    assert first == dog


def test_the_index_answers_as_exact_search_does_and_needs_the_features_once(
    ask, features, tmp_path
):
    exact = ask("a dog", "-f", features / "images.npz")
    index = "--index", tmp_path / "a.faiss"
    built = ask("a dog", "-f", features / "images.npz", *index)
    alone = ask("a dog", *index)
    assert built == alone
    found, expected = (result["queries"][0]["found"] for result in (alone, exact))
    assert [one["name"] for one in found] == [one["name"] for one in expected]
    with pytest.raises(ValueError, match="stale"):
        ask("a dog", "-f", features / "texts.npz", *index)


def test_the_panel_shows_the_querys_heat_map_over_each_image(
    ask, features, checkpoint, embedder, tmp_path
):
    results = ask(
        "a dog", "-f", features / "images.npz", "--top", 3, "--open-panel", tmp_path / "a.png"
    )
    found = results["queries"][0]["found"]
    sheet = Image.open(tmp_path / "a.png").convert("RGB")
    tiles = []
    for one in found:
        image = Image.open(one["name"]).convert("RGB")
        heat = embedder.localize(image, ["a dog"], components=5)[0]
        tiles.append((f"{one['score']:.3f} {Path(one['name']).name}", overlay(image, heat)))
    expected = np.asarray(contact_sheet([("a dog", tiles)]), dtype=int)
    assert np.abs(np.asarray(sheet, dtype=int) - expected).max() <= 1  # batches round differently
    assert results["left_out"] == []


def test_images_that_are_gone_are_left_out_of_the_panel_and_said(
    ask, features, embedder, photos, tmp_path, caplog
):
    gone = tmp_path / "gone.jpg"
    rows = embedder.embed_images(photos[:1])
    save_embeddings(tmp_path / "a.npz", [str(photos[0]), str(gone)], rows.expand(2, -1))
    results = ask("a dog", "-f", tmp_path / "a.npz", "--open-panel", tmp_path / "a.png")
    assert results["left_out"] == [str(gone)]
    assert "left out: cannot read image" in caplog.text
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width == 224 + 16
    with pytest.raises(ValueError, match="none of the 4 names found .*features of texts have no"):
        ask("a dog", "-f", features / "texts.npz", "--open-panel", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_what_cannot_be_answered_is_an_error_that_says_why(ask, features, tmp_path):
    images = "-f", features / "images.npz"
    with pytest.raises(ValueError, match="nothing to search for: .* -i"):
        ask(*images)
    with pytest.raises(ValueError, match="nothing to search in: -f"):
        ask("a dog")
    with pytest.raises(ValueError, match=r"a\.jpg: the panel is a \.png"):
        ask("a dog", *images, "--open-panel", "a.jpg")
    with pytest.raises(ValueError, match="at least one word"):
        ask("a dog", " ", *images)
    with pytest.raises(ValueError, match="cannot read image .*none.npz"):
        ask("-i", features / "none.npz", *images)
    with pytest.raises(ValueError, match="none.npz has no embeddings to search"):
        ask("a dog", "-f", features / "none.npz")
    with pytest.raises(ValueError, match="other.npz has embeddings of 5 dimensions.* have 16"):
        ask("a dog", "-f", features / "other.npz")
    with pytest.raises(FileNotFoundError, match="absent.npz"):
        ask("a dog", "-f", tmp_path / "absent.npz")


def test_a_pickle_is_refused_with_a_command_that_rewrites_it(ask, tmp_path, monkeypatch):
    rows = unit_rows(2)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((["a", "b"], rows.numpy())))
    with pytest.raises(ValueError, match="a.pkl: embeddings are read .* could run code") as refusal:
        ask("a dog", "-f", tmp_path / "a.pkl")
    program = shlex.split(str(refusal.value).split("that you trust: ")[1])[2]
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    names, loaded = load_embeddings(tmp_path / "features.npz")
    assert names == ["a", "b"]
    assert torch.equal(loaded, rows)
