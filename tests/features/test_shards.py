import hashlib
import json
import os
import shutil
from pathlib import Path

import duckdb
import pytest
import torch

import image_features_extraction
import text_features_extraction
from misc.features.reading import load_embeddings
from misc.features.shards import parts_of, verify
from tests.features.extraction import assert_same, extract, save_model


def test_parts_hold_every_item_once():
    parts = parts_of(Path("out"), 46, 12, str)
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
    found = duckdb.execute(query).fetchall()
    assert [name for name, _ in found] == names
    assert [first for _, first in found] == rows[:, 0].tolist()


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


def test_a_photograph_that_has_changed_is_embedded_again_and_no_other(model, photos, tmp_path):
    folder, output = tmp_path / "photos", tmp_path / "features"
    shutil.copytree(photos, folder)
    extract(model, folder, output, "--shard-size", 12)
    before = {part.name: part.stat().st_mtime_ns for part in output.glob("part-*.parquet")}
    changed = sorted(folder.iterdir())[13]
    shutil.copy(sorted(folder.iterdir())[0], changed)
    os.utime(changed, ns=(1, 1))
    extract(model, folder, output, "--shard-size", 12)
    after = {part.name: part.stat().st_mtime_ns for part in output.glob("part-*.parquet")}
    assert [name for name in before if before[name] != after[name]] == ["part-00001.parquet"]
    verify(output)


def test_force_removes_our_own_files_only(model, photos, tmp_path):
    output = tmp_path / "features"
    extract(model, photos, output)
    (output / "part-of-the-garden.jpg").touch()
    (output / "part-00000.parquet.backup").touch()
    extract(model, photos, output, "--force")
    assert (output / "part-of-the-garden.jpg").exists()
    assert (output / "part-00000.parquet.backup").exists()


def test_failures_are_numbered_by_their_place_in_all_that_was_asked_for(model, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for number in (3, 30):
        sorted(folder.iterdir())[number].write_bytes(b"no image")
    broken = [
        place for place, file in enumerate(sorted(folder.iterdir())) if file.stat().st_size < 9
    ]
    extract(model, folder, tmp_path / "features", "--shard-size", 12)
    lines = [
        json.loads(line)
        for file in sorted((tmp_path / "features").glob("*.errors.jsonl"))
        for line in file.read_text().splitlines()
    ]
    assert {3, 30} <= {line["index"] for line in lines}
    assert len(lines) >= len(broken)
    for line in lines:
        assert str(sorted(folder.iterdir())[line["index"]]) == line["name"]
