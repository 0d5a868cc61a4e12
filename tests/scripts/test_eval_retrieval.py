import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import eval_retrieval
from misc.checkpoints.checkpoint import save_checkpoint
from misc.data.captions import read_captions
from misc.data.decoding import load_image
from misc.data.paths import data_paths, find_word_vectors
from misc.data.transforms import evaluation_transform
from misc.inference.encode import encode_pairs
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
    assert "toy test: 16 images, 80 captions" in capsys.readouterr().out


def test_folds_are_averaged(checkpoint, toy_root):
    options = ("--dataset", "toy", "-te", "--image-size", "48")
    whole = evaluate(checkpoint, toy_root, *options)
    halves = evaluate(checkpoint, toy_root, *options, "--folds", "2")
    assert halves["t2i/mean_rank"] < whole["t2i/mean_rank"]


def test_pairs_equal_their_singles(checkpoint, toy_root):
    model = JointEmbedding(SMALL).eval()
    paths = data_paths(toy_root, "toy")
    images, vectors = read_captions(paths, ("val",)), find_word_vectors("", paths)
    embeddings, captions, rows = encode_pairs(model, images, vectors, 32, batch_size=3)
    assert rows.tolist() == [row for row in range(8) for _ in range(5)]
    with torch.inference_mode():
        image = evaluation_transform(32, ModelConfig().image_statistics)(load_image(images[5].path))
        single = model.encode_image(image[None])[0]
        text = model.encode_text(*vectors.batch([vectors.rows(images[5].captions[2])]))[0]
    torch.testing.assert_close(embeddings[5], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(captions[27], text, atol=1e-5, rtol=0)


def test_images_may_have_any_number_of_captions(toy_root):
    model, paths = JointEmbedding(SMALL).eval(), data_paths(toy_root, "toy")
    images = [
        dataclasses.replace(image, captions=image.captions[:count])
        for count, image in enumerate(read_captions(paths, ("val",)))
    ]
    _, captions, rows = encode_pairs(model, images, find_word_vectors("", paths), 32, 4)
    assert rows.tolist() == [1, 2, 2, 3, 3, 3, *[4] * 4, *[5] * 5, *[6] * 5, *[7] * 5]
    assert len(captions) == len(rows)


def test_an_unreadable_image_is_left_out_with_its_captions(checkpoint, toy_root, caplog):
    model, paths = JointEmbedding(SMALL).eval(), data_paths(toy_root, "toy")
    images = read_captions(paths, ("val",))
    broken = type(images[0])(0, Path("absent.jpg"), images[0].captions)
    vectors = find_word_vectors("", paths)
    embeddings, captions, rows = encode_pairs(model, [broken, *images[1:]], vectors, 32, 4)
    assert (len(embeddings), len(captions)) == (7, 35)
    assert rows.tolist() == [row for row in range(7) for _ in range(5)]
    assert "left out: cannot read image absent.jpg" in caplog.text
    with pytest.raises(ValueError, match="none of the 1 images can be read"):
        encode_pairs(model, [broken], vectors, 32, 4)


def test_non_finite_embeddings_name_the_file_or_the_text(toy_root):
    paths = data_paths(toy_root, "toy")
    images, vectors = read_captions(paths, ("val",)), find_word_vectors("", paths)
    for part, name in (("text_encoder.sru.rnn_lst.0", "the text 'a"), ("image_encoder", "image")):
        model = JointEmbedding(SMALL).eval()
        broken = model.get_submodule(part)
        parameter = broken.get_parameter("bias" if "sru" in part else "projection.bias")
        torch.nn.init.constant_(parameter, float("nan"))
        with pytest.raises(ValueError, match=f"embedding of .*{name if 'text' in name else 'jpg'}"):
            encode_pairs(model, images, vectors, 32, 4)


def test_a_split_without_images_is_an_error_that_lists_those_there_are(toy_root):
    with pytest.raises(ValueError, match=r"no image in restval; it has train \(24\), val \(8\)"):
        read_captions(data_paths(toy_root, "toy"), ("restval",))


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
