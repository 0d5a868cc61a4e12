import io
import json
import tarfile
from pathlib import Path

import fsspec
import pytest
import torch

from misc.data.tars import find_tars
from misc.features.reading import load_embeddings
from tests.features.extraction import extract


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


def add(tar, name, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    tar.addfile(entry, io.BytesIO(data))


def test_every_image_of_a_sample_is_embedded_or_named(model, photos, tmp_path):
    png = (photos / "00.png").read_bytes()
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        add(tar, "photo.jpg", png)
        add(tar, "photo.final.jpg", png)
        add(tar, "photo.json", b"{}")
        add(tar, "other.jpg", link="photo.jpg")
        add(tar, "text.txt", b"no image")
        add(tar, "README", b"no image")
        add(tar, "__index__", b"of a tool")
        add(tar, "caf\udce9.png", png)
    results = extract(model, tmp_path / "0.tar", tmp_path / "features")
    assert (results["rows"], results["left_out"]) == (3, 3)
    lines = (tmp_path / "features" / "part-00000.parquet.errors.jsonl").read_text().splitlines()
    failures = [json.loads(line) for line in lines]
    assert {failure["name"] for failure in failures} == {
        "0.tar/other",
        "0.tar/text",
        "0.tar/README",
    }
    assert sorted(failure["index"] for failure in failures) == [2, 3, 4]
    assert "it is no file but a link" in failures[0]["reason"]
    names, _ = load_embeddings(tmp_path / "features")
    assert names[:2] == ["0.tar/photo", "0.tar/photo.final.jpg"]
