"""A model on the states of a pretrained text encoder, in the scripts that take word vectors."""

import numpy as np
import pytest

import eval_retrieval
import localize
import text_features_extraction
import train
from misc.checkpoints.checkpoint import load_model
from misc.embedder import Embedder
from misc.words.pretrained_encoder import PretrainedEncoder
from tests.conftest import SMALL_TRAINING
from tests.texts import batch_of
from tests.words.encoders import save_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def checkpoint(toy_root, encoder, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    command = f"{SMALL_TRAINING} --data-root {toy_root} --runs {runs} -n run --epochs 1"
    command += f" --word-vectors {encoder} --word-dim 8"
    train.main(train.get_parser().parse_args(command.split()))
    return runs / "run" / "best.pt"


def run(script, checkpoint, *options):
    command = ["-p", checkpoint, "--device", "cpu", "--workers", "0", *options]
    return script.main(script.get_parser().parse_args(list(map(str, command))))


def test_texts_are_embedded_by_the_encoder_that_the_checkpoint_names(
    checkpoint, encoder, tmp_path, caplog
):
    (tmp_path / "texts.txt").write_text("a dog in the snow\n\nDogs run.\n" + "dog " * 40 + "\n")
    output = tmp_path / "texts.npz"
    found = run(text_features_extraction, checkpoint, "-d", tmp_path / "texts.txt", "-o", output)
    assert (found["rows"], found["left_out"]) == (3, 1)
    assert "1 texts are too long for the text encoder" in caplog.text
    errors = output.with_name(f"{output.name}.errors.jsonl").read_text()
    assert "line 2: a text needs at least one word" in errors
    vectors = batch_of(PretrainedEncoder.load(str(encoder)), "a dog in the snow")
    expected = load_model(checkpoint).encode_text(*vectors)[0].detach()
    np.testing.assert_allclose(np.load(output)["embeddings"][0], expected, atol=1e-5)


def test_retrieval_and_heat_maps_need_no_other_option(checkpoint, toy_root, tmp_path):
    options = "--data-root", toy_root, "--dataset", "toy", "--image-size", 32
    assert "rsum" in run(eval_retrieval, checkpoint, *options)
    photo = next((toy_root / "toy" / "coco" / "images" / "val2014").glob("*.jpg"))
    run(localize, checkpoint, "-i", photo, "-t", "a dog", "-o", tmp_path, "-k", 5)
    assert Embedder(checkpoint, device="cpu").embed_texts(["a dog"]).shape == (1, 16)
