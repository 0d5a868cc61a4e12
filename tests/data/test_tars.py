import io
import pickle
import tarfile

import fsspec
import pytest
import torch
from PIL import Image

from misc.data.tars import TarImages, find_tars, tar_batches
from misc.data.transforms import evaluation_transform
from misc.runtime.failures import apart
from tests.data.statistics import STATISTICS

TRANSFORM = evaluation_transform(8, STATISTICS)


@pytest.fixture
def tar(tmp_path):
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    with tarfile.open(tmp_path / "0.tar", "w") as file:
        for name in ("a.png", "a.2.png", "a.txt", "b.txt", "c.png"):
            entry = tarfile.TarInfo(name)
            entry.size = len(png.getvalue())
            file.addfile(entry, io.BytesIO(png.getvalue()))
    return str(tmp_path / "0.tar")


def test_braces_in_a_name_that_exists_are_no_pattern_and_queries_are_no_suffix(tmp_path):
    (tmp_path / "My {photos").mkdir()
    assert find_tars([str(tmp_path / "My {photos")]) == []
    (tmp_path / "{1,2}.tar").touch()
    assert find_tars([str(tmp_path / "{1,2}.tar")]) == [str(tmp_path / "{1,2}.tar")]
    assert find_tars(["a{1,2}.tar"]) == ["a1.tar", "a2.tar"]
    assert find_tars(["a {photos/"]) == []
    url = "https://bucket/000.tar?X-Amz-Signature=a.b"
    assert find_tars([url]) == [url]


def test_braces_may_be_longer_than_a_name_can_be(tmp_path):
    numbers = [f"{number:04}" for number in range(100)]
    pattern = f"{tmp_path}/{{{','.join(numbers)}}}.tar"
    assert find_tars([pattern]) == [f"{tmp_path}/{number}.tar" for number in numbers]


def test_places_and_names_run_through_the_whole_tar_whatever_the_batch(tar):
    batches = list(tar_batches(tar, TRANSFORM, 2, 0, 8, torch.device("cpu")))
    assert [batch.places for batch in batches] == [[0, 1], [3]]
    assert [name for batch in batches for name in batch.names] == [
        "0.tar/a",
        "0.tar/a.2.png",
        "0.tar/c",
    ]
    (failure,) = [failure for batch in batches for failure in batch.failures]
    assert (failure.index, failure.name) == (2, "0.tar/b")


class RefusedError(Exception):
    """As aiohttp and botocore have them: neither ``OSError`` nor ``ValueError``."""


def test_whatever_a_server_says_is_one_line_with_the_url(monkeypatch):
    def refuse(url, mode):
        raise RefusedError("403, message='Forbidden'")

    monkeypatch.setattr(fsspec, "open", refuse)
    url = "https://bucket/0.tar?X-Amz-Signature=a"
    with pytest.raises(ValueError, match=r"cannot read https://.*=a: 403, message='Forbidden'"):
        list(tar_batches(url, TRANSFORM, 2, 0, 8, torch.device("cpu")))


def test_a_tar_can_be_sent_to_a_process_that_is_spawned(tar):
    sent = pickle.loads(pickle.dumps(TarImages(tar, TRANSFORM)))
    read, _ = apart(sent)
    assert [item[1] for item in read] == ["0.tar/a", "0.tar/a.2.png", "0.tar/c"]
