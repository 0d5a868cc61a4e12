import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import duckdb
import fsspec
import pytest
import torch
from PIL import Image

import image_features_extraction
import text_features_extraction
from misc.checkpoints.checkpoint import save_checkpoint
from misc.data.tars import find_tars
from misc.features.reading import load_embeddings
from misc.features.shards import parts_of, verify
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

ROOT = Path(__file__).resolve().parents[2]


def save_model(path, seed=0):
    torch.manual_seed(seed)
    model = JointEmbedding(ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1))
    save_checkpoint(path, model, {"config": {"dataset": "toy", "word_vectors": "glove"}})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty-six images, one of which is broken: four parts of twelve, the last one shorter."""
    folder = tmp_path_factory.mktemp("photos")
    noise = random.Random(0)
    for number in range(46):
        picture = Image.frombytes("RGB", (48, 40), noise.randbytes(48 * 40 * 3))
        picture.save(folder / f"{number:02}.png")
    (folder / "17.png").write_bytes(b"no image")
    return folder


def arguments(model, photos, output, *more):
    command = ["-p", model, "-d", photos, "-o", output, "--shard-size", 12, "-bs", 4]
    command += ["--image-size", 64, "--workers", 0, "--device", "cpu", *more]
    return list(map(str, command))


def extract(*command):
    parser = image_features_extraction.get_parser()
    return image_features_extraction.main(parser.parse_args(arguments(*command)))


@pytest.fixture(scope="module")
def undisturbed(model, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "features"
    extract(model, photos, folder)
    return folder


def assert_same(folder, expected):
    names, rows = load_embeddings(folder)
    expected_names, expected_rows = load_embeddings(expected)
    assert names == expected_names
    assert torch.equal(rows, expected_rows)


def test_parts_hold_every_item_once():
    parts = parts_of(Path("out"), 46, 12)
    assert [part.file.name for part in parts] == [
        f"part-0000{number}.parquet" for number in range(4)
    ]
    assert [item for part in parts for item in part.source] == list(range(46))
    assert [part.items for part in parts] == [12, 12, 12, 10]


def test_a_folder_holds_what_one_file_does(model, photos, undisturbed, tmp_path):
    results = extract(model, photos, tmp_path / "one.npz")
    assert (results["rows"], results["left_out"]) == (45, 1)
    assert_same(undisturbed, tmp_path / "one.npz")
    assert len(list(undisturbed.glob("part-*.parquet"))) == 4
    (errors,) = undisturbed.glob("*.errors.jsonl")
    assert errors.name == "part-00001.parquet.errors.jsonl"
    assert "17.png" in json.loads(errors.read_text())["name"]


def test_the_manifest_counts_and_checks(undisturbed):
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    assert (manifest["rows"], manifest["left_out"]) == (45, 1)
    assert [part["rows"] for part in manifest["parts"]] == [12, 11, 12, 10]
    data = (undisturbed / "part-00002.parquet").read_bytes()
    assert manifest["parts"][2]["sha256"] == hashlib.sha256(data).hexdigest()


def test_other_tools_read_the_parts(undisturbed):
    query = f"select name, embedding[1] from '{undisturbed}/part-*.parquet' order by name"
    names, rows = load_embeddings(undisturbed)
    found = duckdb.sql(query).fetchall()
    assert [name for name, _ in found] == names
    assert [first for _, first in found] == rows[:, 0].tolist()


def start(processes, command):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher = launcher if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *launcher, "image_features_extraction.py", *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_at_work(process, folder, pause):
    """Kill a process and all it started, some time after it began to write."""
    before = set(folder.glob("*part-*"))
    while process.poll() is None:
        if set(folder.glob("*part-*")) - before:
            time.sleep(pause)
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait()


def test_an_extraction_killed_five_times_has_each_row_once(model, photos, undisturbed, tmp_path):
    folder, moments = tmp_path / "features", random.Random(int(time.time()))
    for processes in (1, 2, 1, 1, 1):
        command = arguments(model, photos, folder)
        kill_at_work(start(processes, command), folder, moments.uniform(0, 0.15))
        for file in sorted(folder.glob("part-*.parquet"))[3:]:
            file.unlink()  # so that there is something left to do
    extract(model, photos, folder)
    assert_same(folder, undisturbed)
    verify(folder)
    assert not list(folder.glob(".*"))


def test_only_parts_that_are_not_whole_are_made_again(model, photos, undisturbed, tmp_path):
    folder = tmp_path / "features"
    extract(model, photos, folder)
    whole, short = folder / "part-00000.parquet", folder / "part-00003.parquet"
    changed = folder / "part-00002.parquet"
    time_of_whole = whole.stat().st_mtime_ns
    short.write_bytes(short.read_bytes()[:-100])
    data = bytearray(changed.read_bytes())
    data[len(data) // 3] ^= 1
    changed.write_bytes(data)
    with pytest.raises(ValueError, match="part-00002.parquet is not .* part-00003.parquet is not"):
        verify(folder)
    extract(model, photos, folder)
    assert whole.stat().st_mtime_ns == time_of_whole
    assert_same(folder, undisturbed)


def test_verify_is_a_command_and_names_what_is_missing(
    undisturbed, model, photos, tmp_path, capsys
):
    parser = image_features_extraction.get_parser()
    args = parser.parse_args(["-o", str(undisturbed), "--verify"])
    assert image_features_extraction.main(args)["rows"] == 45
    assert "4 parts with 45 rows are whole" in capsys.readouterr().out
    extract(model, photos, tmp_path / "features")
    (tmp_path / "features" / "part-00001.parquet").unlink()
    with pytest.raises(ValueError, match="part-00001.parquet is missing"):
        verify(tmp_path / "features")
    (tmp_path / "features" / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="has not ended; run it again"):
        verify(tmp_path / "features")
    with pytest.raises(ValueError, match="has not ended"):
        load_embeddings(tmp_path / "features")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--shard-size", 10], "shard_size 12 instead of 10"),
        (["--image-size", 48], "image_size 64 instead of 48"),
        (["--dtype", "float16"], "dtype 'float32' instead of 'float16'"),
    ],
)
def test_a_folder_of_something_else_is_not_mixed(model, photos, undisturbed, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        extract(model, photos, undisturbed, *change)


def test_another_model_or_other_images_are_refused_and_force_begins_again(
    model, photos, undisturbed, tmp_path
):
    folder = tmp_path / "features"
    extract(model, photos, folder)
    other = save_model(tmp_path / "other.pt", seed=1)
    with pytest.raises(ValueError, match="model .* instead of .*--force"):
        extract(other, photos, folder)
    with pytest.raises(ValueError, match="inputs .* instead of"):
        extract(model, photos / "03.png", folder)
    extract(other, photos, folder, "--force")
    assert not torch.equal(load_embeddings(folder)[1], load_embeddings(undisturbed)[1])


def test_texts_go_into_parts_too_and_keep_their_line_numbers(model, toy_root, tmp_path):
    lines = ["a dog", "a red car", "two cats", " ", "a pizza on grass"]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    parser = text_features_extraction.get_parser()
    for output in ("parts", "one.npz"):
        command = ["-p", model, "-d", tmp_path / "lines.txt", "-o", tmp_path / output, "-bs", 2]
        command += ["--shard-size", 2, "--data-root", toy_root, "--device", "cpu"]
        command += ["--word-vectors", toy_root / "toy" / "word_vectors"]
        text_features_extraction.main(parser.parse_args(list(map(str, command))))
    assert load_embeddings(tmp_path / "parts")[0] == [line for line in lines if line.strip()]
    expected = load_embeddings(tmp_path / "one.npz")[1]
    torch.testing.assert_close(load_embeddings(tmp_path / "parts")[1], expected)
    errors = (tmp_path / "parts" / "part-00001.parquet.errors.jsonl").read_text()
    assert "line 4:" in json.loads(errors)["reason"]


def test_what_is_missing_or_cannot_be_shared_is_said(model, photos, tmp_path, monkeypatch):
    parser = image_features_extraction.get_parser()
    with pytest.raises(ValueError, match="-p, the model, and -d"):
        image_features_extraction.main(parser.parse_args([]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="cannot write one file; name a folder"):
        extract(model, photos, tmp_path / "one.npz")


def write_tar(stream, photos, numbers, broken=()):
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for number in numbers:
            data = b"no image" if number in broken else (photos / f"{number:02}.png").read_bytes()
            for suffix, content in (("png", data), ("txt", b"a caption")):
                entry = tarfile.TarInfo(f"folder/{number:02}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def test_each_tar_becomes_a_part(model, photos, undisturbed, tmp_path):
    for tar, numbers in enumerate((range(5), range(5, 11))):
        with (tmp_path / f"{tar:03}.tar").open("wb") as stream:
            write_tar(stream, photos, numbers, broken=[3])
    results = extract(model, tmp_path / "{000..001}.tar", tmp_path / "features", "--workers", 1)
    assert (results["rows"], results["left_out"], results["parts"]) == (10, 1, 2)
    names, rows = load_embeddings(tmp_path / "features")
    assert names[0] == "000.tar/folder/00"
    assert names[-1] == "001.tar/folder/10"
    expected = load_embeddings(undisturbed)[1][[0, 1, 2, 4, 5, 6, 7, 8, 9, 10]]
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=0)
    errors = (tmp_path / "features" / "part-00000.parquet.errors.jsonl").read_text()
    assert "000.tar/folder/03" in json.loads(errors)["reason"]


def test_tars_are_read_wherever_fsspec_reaches(model, photos, tmp_path):
    with fsspec.open("memory://bucket/7.tar", "wb") as stream:
        write_tar(stream, photos, range(3))
    extract(model, "memory://bucket/7.tar", tmp_path / "features")
    assert load_embeddings(tmp_path / "features")[0][2] == "7.tar/folder/02"


def test_a_broken_tar_does_not_keep_the_others_from_being_done(model, photos, tmp_path):
    tars = [tmp_path / f"{number}.tar" for number in range(3)]
    for number, tar in enumerate(tars):
        with tar.open("wb") as stream:
            write_tar(stream, photos, range(4 * number, 4 * number + 4))
    whole = tars[1].read_bytes()
    tars[1].write_bytes(whole[:3000])
    with pytest.raises(ValueError, match="1 of 3 parts could not be made: cannot read .*1.tar"):
        extract(model, tmp_path / "{0..2}.tar", tmp_path / "features")
    done = tmp_path / "features" / "part-00002.parquet"
    time_of_done = done.stat().st_mtime_ns
    tars[1].write_bytes(whole)
    assert extract(model, tmp_path / "{0..2}.tar", tmp_path / "features")["rows"] == 12
    assert done.stat().st_mtime_ns == time_of_done


def test_tars_that_cannot_be_read_are_named(model, photos, tmp_path):
    cut, whole = tmp_path / "cut.tar", io.BytesIO()
    write_tar(whole, photos, range(4))
    cut.write_bytes(whole.getvalue()[:9000])
    (tmp_path / "none.tar").write_bytes(b"no tar at all")
    for tar in (cut, tmp_path / "none.tar", tmp_path / "missing.tar", "nowhere://bucket/1.tar"):
        with pytest.raises(ValueError, match=f"cannot read .*{Path(str(tar)).name}"):
            extract(model, tar, tmp_path / f"out-{Path(str(tar)).stem}")
    with pytest.raises(ValueError, match="tars go into a folder"):
        extract(model, cut, tmp_path / "one.npz")
    with pytest.raises(ValueError, match="cannot be mixed"):
        find_tars([str(cut), "photos"])
