import threading
import warnings

import pytest
import torch
from PIL import Image

from misc.data.captions import read_captions
from misc.data.images import image_loader
from misc.data.paths import data_paths
from misc.data.transforms import evaluation_transform
from tests.data.statistics import STATISTICS

CPU = torch.device("cpu")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_images_come_in_order_with_their_failures(toy_root, tmp_path, workers):
    paths = [image.path for image in read_captions(data_paths(toy_root, "toy"), ("test",))][:4]
    paths.insert(1, tmp_path / "absent.jpg")
    transform = evaluation_transform(32, STATISTICS)
    batches = list(image_loader(paths, transform, 3, workers, CPU))
    assert [batch.indices for batch in batches] == [[0, 2], [3, 4]]
    assert batches[0].images.shape == (2, 3, 32, 32)
    assert [failure.index for failure in batches[0].failures] == [1]


def test_no_more_is_read_than_two_batches_ahead_and_nothing_once_it_is_left(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    read = []

    def transform(image):
        read.append(threading.current_thread())
        return torch.zeros(3, 4, 4)

    batches = image_loader([tmp_path / "a.png"] * 100, transform, 2, 3, CPU)
    assert next(batches).images.shape == (2, 3, 4, 4)
    batches.close()
    assert len(read) <= 2 + 2 * 2
    assert threading.current_thread() not in read
    assert not any(thread.is_alive() for thread in read)


def test_warnings_of_images_are_not_shown_and_others_stay_as_they_were(tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # a warning for up to twice as many
    transform = evaluation_transform(8, STATISTICS)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        (batch,) = image_loader([tmp_path / "a.png"] * 20, transform, 20, 3, CPU)
        warnings.warn("ours", UserWarning, stacklevel=1)
    assert len(batch.indices) == 20
    assert [str(warning.message) for warning in seen] == ["ours"]
