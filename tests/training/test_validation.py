import os
import signal

import pytest
import torch

from misc.checkpoints.checkpoint import load_model, read_checkpoint
from misc.data.captions import read_captions
from misc.data.paths import data_paths, find_word_vectors
from misc.inference.encode import encode_images, encode_pairs, encode_texts
from misc.training import validation
from tests.training.small_runs import assert_same, run_train, weights

CACHED = "--cache-features --trained-parts 1 --crop-size 128 --image-size 128"


def test_a_signal_during_validation_loses_no_epoch(toy_root, tmp_path, monkeypatch):
    def interrupted_encoding(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return encode_pairs(*arguments, **options)

    monkeypatch.setattr(validation, "encode_pairs", interrupted_encoding)
    with pytest.raises(SystemExit, match="130"):
        run_train(toy_root, tmp_path, "-n run --epochs 3")
    progress = read_checkpoint(tmp_path / "run" / "last.pt").training["progress"]
    assert (progress["epoch"], progress["batch"]) == (0, 7)
    monkeypatch.undo()
    run_train(toy_root, tmp_path, "-n run --epochs 1 --resume")
    run_train(toy_root, tmp_path, "-n whole --epochs 1")
    assert_same(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("run", "whole")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("options", ["", CACHED])
def test_pairs_of_training_are_kept_with_the_model_and_go_on_when_it_is_resumed(
    toy_root, tmp_path, monkeypatch, options
):
    monkeypatch.setattr(validation, "REFERENCES", 10)  # of 24, so every third
    run_train(toy_root, tmp_path, f"-n run --epochs 1 {options}")
    size, paths = 128 if options else 32, data_paths(toy_root, "toy")
    images = read_captions(paths, ("train",))[::3]
    captions = [one.captions[3 * row % len(one.captions)] for row, one in enumerate(images)]
    for name in ("best.pt", "last.pt"):
        file = tmp_path / "run" / name
        model = load_model(file)
        embeddings, _, _ = encode_images(model, [one.path for one in images], size, 8)
        texts = encode_texts(model, captions, find_word_vectors("", paths))
        reference = read_checkpoint(file).reference
        assert reference is not None
        torch.testing.assert_close(reference[0], embeddings.half(), rtol=0, atol=2e-3)
        torch.testing.assert_close(reference[1], texts.half(), rtol=0, atol=2e-3)
    run_train(toy_root, tmp_path, "-n run --epochs 1 --resume")
    kept = read_checkpoint(tmp_path / "run" / "last.pt").reference
    torch.testing.assert_close(kept, reference, rtol=0, atol=0)
