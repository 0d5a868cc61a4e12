import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import train
from misc.checkpoints.checkpoint import read_checkpoint
from misc.data.paths import DataPaths, find_word_vectors
from misc.runtime.failures import Failure
from misc.runtime.files import FullDiskError
from misc.runtime.locks import locked
from misc.training import text_cache
from misc.training.feature_cache import cache_users, remove_cache
from misc.training.text_cache import cached_texts
from misc.words.pretrained_encoder import PretrainedEncoder
from misc.words.token_vectors import required
from tests.conftest import SMALL_TRAINING
from tests.words.encoders import LONGEST, save_encoder

TEXTS = [
    "a dog",
    "the snow in the snow",
    "a dog",
    "Blorp runs",
    "dog " * LONGEST,
    " ",
    "a",
    "A dog runs. The snow.",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return PretrainedEncoder.load(str(save_encoder(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(text_cache, "PART", 2)


def test_states_are_those_of_the_encoder_whatever_the_order_and_others_are_computed(
    encoder, tmp_path, caplog
):
    cache = cached_texts(encoder, TEXTS, tmp_path)
    assert "1 captions are too long for the text encoder" in caplog.text
    asked = ["dogs", *reversed(TEXTS)]  # the first is not in the cache
    for text, found, expected in zip(
        asked, cache.vectors_of(asked), encoder.vectors_of(asked), strict=True
    ):
        if isinstance(expected, Failure):
            assert found == expected and text == " "
            continue
        assert not isinstance(found, Failure) and found.vectors.dtype == torch.float32
        torch.testing.assert_close(found.vectors, expected.vectors, rtol=1e-3, atol=1e-3)
        assert list(found.unknown) == expected.unknown
    (first,) = required(cache.vectors_of(TEXTS[-1:], first_sentence=True))
    assert len(first.vectors) == 5
    assert (cache.dimension, cache.fingerprint()) == (8, encoder.fingerprint())


def test_a_process_that_is_spawned_maps_the_states_anew(encoder, tmp_path):
    cache = cached_texts(encoder, TEXTS, tmp_path)
    again = pickle.loads(pickle.dumps(cache))
    assert isinstance(again.parts[0], np.memmap)
    (found,), (expected,) = (required(each.vectors_of(["a"])) for each in (again, cache))
    assert torch.equal(found.vectors, expected.vectors)


def test_texts_none_of_which_has_a_word_are_failures(encoder, tmp_path):
    (blank,) = cached_texts(encoder, ["  "], tmp_path).vectors_of(["  "])
    assert isinstance(blank, Failure) and "at least one word" in blank.reason


def test_states_are_computed_once(encoder, tmp_path, monkeypatch):
    cached_texts(encoder, TEXTS, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(encoder, "_encode", None)
        cache = cached_texts(encoder, [*reversed(TEXTS), "a"], tmp_path)
        assert len(required(cache.vectors_of(["a dog", "a"]))) == 2
    cached_texts(encoder, [*TEXTS, "in"], tmp_path)
    other = PretrainedEncoder.load(str(save_encoder(tmp_path / "other", seed=1)))
    cached_texts(other, TEXTS, tmp_path)
    assert len(list(tmp_path.glob("*/*0000.npy"))) == 3


def test_a_stopped_cache_goes_on_with_what_is_left(encoder, tmp_path, monkeypatch):
    whole = cached_texts(encoder, TEXTS, tmp_path / "whole")
    read, stopping = [], [True]

    def stopped(texts, first_sentence=False):
        read.extend(texts)
        if len(read) == 4 and stopping:
            raise KeyboardInterrupt
        return PretrainedEncoder.vectors_of(encoder, texts, first_sentence)

    monkeypatch.setattr(encoder, "vectors_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        cached_texts(encoder, TEXTS, tmp_path / "features")
    read.clear()
    stopping.clear()
    cache = cached_texts(encoder, TEXTS, tmp_path / "features")
    assert len(read) == 5  # of 7, as the first part was written
    for one, other in zip(cache.parts, whole.parts, strict=True):
        assert np.array_equal(one, other)
    assert cache.places == whole.places


def test_a_full_disk_is_told(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(FullDiskError, match=r"states0000\.npy needs .* MB are free"):
        cached_texts(encoder, TEXTS, tmp_path)


def run_of(toy_root, runs, source, *options):
    command = ["--data-root", toy_root, "--runs", runs, "--device", "cpu", "--workers", "0"]
    command += [*SMALL_TRAINING.split(), "-n", "run", "--word-vectors", source]
    command += ["--word-dim", "8", "--epochs", "1", "--max-batches", "2", "-bs", "4", *options]
    return train.main(train.get_parser().parse_args(list(map(str, command))))


def test_training_reads_its_texts_once_and_says_which_encoder_it_needs(
    toy_root, tmp_path, monkeypatch, caplog
):
    source, runs = save_encoder(tmp_path / "encoder"), tmp_path / "runs"
    monkeypatch.setattr(text_cache, "PART", 1000)
    run_of(toy_root, runs, source)
    encoder = PretrainedEncoder.load(str(source))
    checkpoint = read_checkpoint(runs / "run" / "last.pt")
    assert checkpoint.training["config"]["word_vectors"] == str(source)
    assert checkpoint.word_table == encoder.fingerprint()
    (cache,) = {file.parent for file in (runs / "features").glob("*/states0000.npy")}
    assert cache_users(runs) == {cache: ["run"]}
    with locked(cache), pytest.raises(OSError, match="another program is at work"):
        remove_cache(cache)
    remove_cache(cache)
    assert not cache.exists()
    # The model finds its encoder, and another one is warned of.
    recorded = str(source), 8, checkpoint.word_table
    found = find_word_vectors("", DataPaths(tmp_path), *recorded)
    assert isinstance(found, PretrainedEncoder) and found.folder == source
    save_encoder(source, seed=1)
    assert "not those that the model was trained with" not in caplog.text
    run_of(toy_root, runs, source, "--resume", "--epochs", "2")
    assert "not those that the model was trained with" in caplog.text
