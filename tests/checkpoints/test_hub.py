import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError

from misc.checkpoints import hub
from misc.checkpoints.checkpoint import load_model, read_checkpoint
from misc.embedder import Embedder
from misc.runtime.files import HOST
from models.joint_embedding import JointEmbedding
from tests.checkpoints.published_folder import assert_same_weights, publish

ROOT = Path(__file__).resolve().parents[2]


def test_what_the_mixin_read_it_writes_again_with_all_that_is_known(folder, tmp_path):
    JointEmbedding.from_pretrained(folder).save_pretrained(tmp_path / "again")
    JointEmbedding.from_pretrained(tmp_path / "again").save_pretrained(tmp_path / "third")
    settings = (folder / "config.json").read_text(encoding="utf-8")
    assert (tmp_path / "third" / "config.json").read_text(encoding="utf-8") == settings
    assert read_checkpoint(tmp_path / "third").about == read_checkpoint(folder).about


def test_a_model_that_was_never_a_checkpoint_is_saved_and_read(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert_same_weights(load_model(tmp_path), model)
    assert_same_weights(JointEmbedding.from_pretrained(tmp_path), model)
    assert read_checkpoint(tmp_path).image_size == 128


def test_a_mixin_without_all_weights_or_settings_fails(folder, tmp_path):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no config.json in"):
        JointEmbedding.from_pretrained(tmp_path)
    settings["config"]["sru_layers"] = 2
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(RuntimeError, match="Missing key"):
        JointEmbedding.from_pretrained(tmp_path)


def test_a_model_on_the_hub_is_downloaded_in_its_revision(folder, model, monkeypatch):
    asked = []

    def download(name, revision, allow_patterns, local_files_only):
        assert not local_files_only
        asked.append((name, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr("misc.runtime.hub.snapshot_download", download)
    files = ["config.json", "model.safetensors", "reference.safetensors"]
    assert_same_weights(load_model("hf://user/beans"), model)
    assert Embedder("hf://user/beans@v2", device="cpu").image_size == 128
    assert asked == [("user/beans", None, files), ("user/beans", "v2", files)]


def test_every_script_takes_a_model_on_the_hub(folder, toy_root, tmp_path, monkeypatch):
    import text_features_extraction

    monkeypatch.setattr("misc.runtime.hub.snapshot_download", lambda name, **options: str(folder))
    (tmp_path / "texts.txt").write_text("a dog\n", encoding="utf-8")
    command = f"-p hf://user/beans -d {tmp_path}/texts.txt -o {tmp_path}/texts.npz --device cpu"
    command += f" --word-vectors {toy_root}/toy/word_vectors"
    text_features_extraction.main(text_features_extraction.get_parser().parse_args(command.split()))
    assert np.load(tmp_path / "texts.npz")["embeddings"].shape == (1, 16)


def test_a_download_that_fails_is_one_clear_line(monkeypatch):
    def fail(name, **options):
        raise LocalEntryNotFoundError("Cannot find the requested files.\nMore lines.")

    monkeypatch.setattr("misc.runtime.hub.snapshot_download", fail)
    with pytest.raises(OSError, match="hf://user/beans@v2 cannot be downloaded: .*lines") as e:
        load_model("hf://user/beans@v2")
    assert "\n" not in str(e.value)
    for wrong in ("hf://beans", "hf://a/b/c", "hf://"):
        with pytest.raises(ValueError, match="a model on the hub is hf://user/name"):
            load_model(wrong)


def test_a_push_uploads_the_folder_as_it_is(checkpoint, tmp_path, monkeypatch):
    calls: list[tuple[object, ...]] = []

    class FakeApi:
        def create_repo(self, name, exist_ok):
            calls.append((name, exist_ok))

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            calls.append((repo_id, folder_path, sorted(allow_patterns)))
            return "address"

    monkeypatch.setattr(hub, "HfApi", FakeApi)
    publish(checkpoint, tmp_path / "model", "--push", "user/beans", "--license", "mit")
    files = ["README.md", "config.json", "model.safetensors", "reference.safetensors"]
    assert calls == [("user/beans", True), ("user/beans", tmp_path / "model", files)]
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.license == "mit"
    assert 'Embedder("hf://user/beans")' in card.text


def test_the_mixins_push_uploads_what_is_read_again(folder, model, monkeypatch):
    uploaded = []

    class FakeApi:
        def __init__(self, token):
            pass

        def create_repo(self, repo_id, **options):
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, folder_path, **options):
            uploaded.append(read_checkpoint(folder_path))

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", FakeApi)
    load_model(folder).push_to_hub("user/beans")
    assert uploaded[0].about == read_checkpoint(folder).about


def test_a_full_disk_is_one_clear_line_and_the_old_folder_stays_whole(folder, checkpoint, tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from misc.checkpoints import __main__ as checkpoints\n"
        "from misc.cli import run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "run(checkpoints.main, checkpoints.get_parser())\n"
    )
    for target in ([str(tmp_path / "new"), "--safetensors"], [str(tmp_path / "new.pt")]):
        command = [sys.executable, "-c", code, "convert", str(checkpoint), *target]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        assert "MB are free" in ended.stderr.splitlines()[-1]
    assert [*(tmp_path / "new").iterdir()] == []
    assert not (tmp_path / "new.pt").exists()


def test_what_a_killed_publish_left_goes_with_the_next_and_links_stay(model, folder, tmp_path):
    left = tmp_path / "model" / f".dsve-{HOST}-999999999-0.tmp"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    link = tmp_path / "model" / "model.safetensors"
    link.symlink_to(tmp_path / "weights")
    hub.save_folder(tmp_path / "model", model)
    assert {file.name for file in link.parent.iterdir()} == {"config.json", link.name, "README.md"}
    assert link.is_symlink()
    assert (tmp_path / "weights").read_bytes() == (folder / "model.safetensors").read_bytes()
