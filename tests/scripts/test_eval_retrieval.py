import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import eval_retrieval
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from misc.data.captions import read_captions
from misc.data.paths import data_paths, find_word_vectors
from misc.data.positives import Positives
from misc.evaluation.retrieval import rank_pairs, summarize
from misc.inference.encode import encode_pairs
from misc.runtime.tables import read_table
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

SMALL = ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_checkpoint(path, JointEmbedding(SMALL), {"config": {"word_vectors": "glove"}})
    return path


def evaluate(checkpoint, root, *options):
    command = ["-p", str(checkpoint), "--data-root", str(root), "--workers", "0", *options]
    command += ["--device", "cpu"]
    return eval_retrieval.main(eval_retrieval.get_parser().parse_args(command))


def test_the_test_split_is_scored_and_reported(checkpoint, toy_root, tmp_path, capsys):
    file = tmp_path / "results.json"
    results = evaluate(
        checkpoint, toy_root, "--dataset", "toy", "-te", "--image-size", "48", "--json", str(file)
    )
    assert (results["images"], results["captions"], results["images_left_out"]) == (16, 80, 0)
    assert json.loads(file.read_text()) == results
    assert "toy test: 16 of 16 images, 80 captions" in capsys.readouterr().out


def test_folds_are_averaged(checkpoint, toy_root):
    options = ("--dataset", "toy", "-te", "--image-size", "48")
    whole = evaluate(checkpoint, toy_root, *options)
    halves = evaluate(checkpoint, toy_root, *options, "--folds", "2")
    assert halves["t2i/mean_rank"] < whole["t2i/mean_rank"]


def test_a_model_that_keeps_pairs_of_training_is_scored_without_hubs_too(
    checkpoint, toy_root, tmp_path, capsys
):
    pairs = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(0)).half()
    content = read_checkpoint(checkpoint)
    save_checkpoint(tmp_path / "a.pt", load_model(checkpoint), content.training, pairs)
    options = "--dataset", "toy", "-te", "--image-size", "48", "--folds", "2"
    plain, corrected = (
        evaluate(path, toy_root, *options) for path in (checkpoint, tmp_path / "a.pt")
    )
    model, paths = load_model(checkpoint), data_paths(toy_root, "toy")
    images, words = read_captions(paths, ("test",)), find_word_vectors("", paths)
    embeddings = encode_pairs(model, images, words, 48, 32)
    expected = summarize(rank_pairs(*embeddings, folds=2, reference=pairs))
    assert expected["rsum"] != plain["rsum"]
    for key, value in expected.items():
        assert corrected[f"csls/{key}"] == pytest.approx(value)
        assert corrected[key] == plain[key]  # what is published has no correction
    assert not any("csls" in key for key in plain)
    title = "CSLS: csls/ is by similarities without hubs, told by 12 images and captions"
    assert title in corrected["protocol"]
    assert title not in plain["protocol"]
    assert title in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_figures_follow_from_the_saved_ranks(checkpoint, toy_root, tmp_path, suffix):
    file = tmp_path / f"ranks{suffix}"
    options = "--dataset", "toy", "-te", "--image-size", "48", "--folds", "2"
    results = evaluate(checkpoint, toy_root, *options, "--save-ranks", str(file))
    rows = list(read_table(file)[1])
    assert len(rows) == 16 + 80
    for direction in ("i2t", "t2i"):
        ranks = [int(row["rank"]) for row in rows if row["direction"] == direction]
        share = sum(rank <= 5 for rank in ranks) / len(ranks)
        assert results[f"{direction}/R@5"] == pytest.approx(100 * share)
    own = [row for row in rows if row["direction"] == "t2i" and int(row["rank"]) == 1]
    assert own
    assert all(row["first"] == row["image"] for row in own)
    assert len({row["text"] for row in rows if row["text"]}) > 60


@pytest.mark.parametrize(
    ("dataset", "split", "images"), [("coco", "-te", 101), ("flickr8k", "--split=val", 113)]
)
def test_real_photographs_are_scored(
    checkpoint, real_data, toy_root, monkeypatch, dataset, split, images
):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))
    options = (split, "--dataset", dataset, "--image-size", "32")
    results = evaluate(checkpoint, real_data, *options)
    assert (results["images"], results["captions"]) == (images, images * 5)


def test_a_mistake_ends_in_one_clear_line(tmp_path, toy_root):
    command = [sys.executable, "eval_retrieval.py", "-p", str(tmp_path / "absent.pt")]
    command += ["--dataset", "toy", "--data-root", str(toy_root)]
    root = Path(eval_retrieval.__file__).parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("eval_retrieval.py: error: ")
    assert "absent.pt" in last
    assert "Traceback" not in done.stderr


def test_the_1k_protocol_is_given_or_said_why_not(
    checkpoint, toy_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(eval_retrieval, "COCO_TEST_IMAGES", 16)
    arguments = f"-p {checkpoint} --dataset toy -te --data-root {tmp_path} --device cpu --workers 0"
    shutil.copytree(toy_root / "toy", tmp_path / "toy")

    def evaluate():
        return eval_retrieval.main(eval_retrieval.get_parser().parse_args(arguments.split()))

    assert "1K/t2i/R@1" in evaluate()
    assert "1K/ is the mean over 5 folds" in capsys.readouterr().out
    last = sorted((tmp_path / "toy/coco/images/val2014").iterdir())[-1]
    last.write_bytes(b"no image")
    results = evaluate()
    assert "1K/t2i/R@1" not in results
    note = "1K protocol: not given, as it takes 16 images, and 15 can be read"
    assert note in results["protocol"]
    assert note in capsys.readouterr().out
    split_file = tmp_path / "toy/coco/dataset.json"
    content = json.loads(split_file.read_text())
    last_entry = next(image for image in content["images"] if image["filename"] == last.name)
    del last_entry["sentences"]
    split_file.write_text(json.dumps(content))
    results = evaluate()
    assert (results["images"], results["annotations_left_out"]) == (15, 1)
    assert note in results["protocol"]
    assert "annotations left out, see the log: 1\n" in capsys.readouterr().out
    last_entry["split"] = "train"  # and no image is missing of the 15 in the test split
    split_file.write_text(json.dumps(content))
    results = evaluate()
    assert (results["images"], results["annotations_left_out"]) == (15, 0)
    assert "1K" not in results["protocol"]


def test_positives_that_are_the_own_captions_give_the_ordinary_recalls(
    checkpoint, toy_root, monkeypatch, capsys
):
    images = read_captions(data_paths(toy_root, "toy"), ("test",))
    own = {image.image_id: frozenset(image.caption_ids) for image in images}
    owners = {number: frozenset([image]) for image, ids in own.items() for number in ids}
    monkeypatch.setattr(
        "misc.evaluation.protocols.read_positives", lambda protocol: Positives(own, owners)
    )
    options = "--image-size", "48", "--protocol", "eccv"
    results = evaluate(checkpoint, toy_root, "--dataset", "toy", "-te", *options)
    for direction, queries in (("i2t", 16), ("t2i", 80)):
        for k in (1, 5, 10):
            expected = pytest.approx(results[f"{direction}/R@{k}"])
            assert results[f"cxc/{direction}/R@{k}"] == expected
        assert results[f"eccv/{direction}/queries"] == queries
    assert 0 < results["eccv/i2t/mAP@R"] < results["eccv/i2t/R-Precision"] < 100
    assert "ECCV Caption             mAP@R  R-Precision          R@1" in capsys.readouterr().out
