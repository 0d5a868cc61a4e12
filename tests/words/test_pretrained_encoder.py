import builtins
import importlib.util
import json
import pickle
import socket

import pytest
import torch

from misc.runtime.failures import Failure
from misc.words.pretrained_encoder import PretrainedEncoder
from misc.words.token_vectors import required
from tests.words.encoders import LONGEST, save_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(folder):
    return PretrainedEncoder.load(str(folder))


def twin_states(folder, ids):
    """States of one text by transformers itself, without padding; [CLS] and [SEP] dropped."""
    import transformers

    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).last_hidden_state[0, 1:-1]


def test_vectors_are_the_last_states_without_special_tokens(folder, encoder):
    found = required(encoder.vectors_of(["A dog runs.", "the snow"]))
    torch.testing.assert_close(found[0].vectors, twin_states(folder, [2, 4, 5, 6, 7, 11, 3]))
    torch.testing.assert_close(found[1].vectors, twin_states(folder, [2, 9, 10, 3]))
    assert encoder.dimension == 8
    assert not found[0].vectors.requires_grad and not found[0].vectors.is_inference()


def test_a_text_does_not_depend_on_the_others_or_their_order(encoder, monkeypatch):
    monkeypatch.setattr("misc.words.pretrained_encoder.PADDED_TOKENS", 14)  # several batches
    texts = ["a dog", "the snow in the snow in the snow", "a", "runs runs runs", "a dog runs"]
    together = required(encoder.vectors_of(texts))
    for text, found in zip(texts, together, strict=True):
        (alone,) = required(encoder.vectors_of([text]))
        torch.testing.assert_close(found.vectors, alone.vectors, rtol=0, atol=1e-5)
    assert encoder.vectors_of([]) == []


def test_words_of_which_the_encoder_knows_no_piece_are_told(encoder):
    (found,) = required(encoder.vectors_of(["a Blorp runs, Dog!"]))
    assert found.unknown == ["Blorp", ",", "!"]
    assert len(found.vectors) == 7
    assert not found.cut


def test_long_texts_are_cut_at_the_models_maximum_not_at_the_files(folder, encoder):
    fits, longer = required(encoder.vectors_of(["dog " * (LONGEST - 2), "dog " * (LONGEST - 1)]))
    assert (len(fits.vectors), fits.cut) == (LONGEST - 2, False)
    assert (len(longer.vectors), longer.cut) == (LONGEST - 2, True)
    torch.testing.assert_close(fits.vectors, longer.vectors, rtol=0, atol=1e-5)


def test_the_first_sentence_alone_is_encoded_if_asked_for(encoder):
    texts = ["a dog runs. the snow."]
    (first,) = required(encoder.vectors_of(texts, first_sentence=True))
    (alone,) = required(encoder.vectors_of(["a dog runs."]))
    assert torch.equal(first.vectors, alone.vectors)
    assert len(required(encoder.vectors_of(texts))[0].vectors) == 8


def test_a_text_without_words_is_a_failure_at_its_place(encoder):
    blank = encoder.vectors_of(["a dog", " \n", "a"])[1]
    assert blank == Failure(1, "", "a text needs at least one word, and ' \\n' has none")


def test_a_copy_in_another_process_computes_the_same(encoder):
    again = pickle.loads(pickle.dumps(encoder))
    found, expected = (required(each.vectors_of(["a dog"]))[0].vectors for each in (again, encoder))
    assert torch.equal(found, expected)


def test_an_encoder_is_read_without_a_network(folder, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert PretrainedEncoder.load(str(folder)).dimension == 8


def test_a_missing_package_is_one_line(folder, monkeypatch):
    find, load = importlib.util.find_spec, builtins.__import__

    def absent(name, *args, **options):
        assert name != "transformers"
        return load(name, *args, **options)

    monkeypatch.setattr(importlib.util, "find_spec", lambda n: n != "transformers" and find(n))
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ValueError, match=r"needs: pip install -r requirements-text.txt$"):
        PretrainedEncoder.load(str(folder))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", b"{}", "cannot be read as a text encoder: "),
        ("config.json", b'{"model_type": "resnet"}', "cannot be read as a text encoder: "),
        ("tokenizer.json", b"{}", "cannot be read as a text encoder: "),
        ("model.safetensors", b"junk", "cannot be read as a text encoder: "),
    ],
)
def test_what_is_no_encoder_is_one_line(tmp_path, file, content, reason):
    folder = save_encoder(tmp_path)
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        PretrainedEncoder.load(str(folder))
    assert "\n" not in str(error.value)


def test_weights_that_lack_a_tensor_are_not_made_up(tmp_path):
    import safetensors.torch

    file = save_encoder(tmp_path) / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    del tensors["encoder.layer.1.output.dense.weight"]
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 tensors, such as encoder.layer.1.output.dense.w"):
        PretrainedEncoder.load(str(tmp_path))


def test_code_that_comes_with_an_encoder_is_not_run(tmp_path):
    folder = save_encoder(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(ValueError, match="cannot be read as a text encoder"):
        PretrainedEncoder.load(str(folder))
    assert not (folder / "ran").exists()
