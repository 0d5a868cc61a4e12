import pickle

import torch

from misc.data.captions import read_captions
from misc.data.images import image_loader
from misc.data.paths import data_paths
from misc.data.transforms import evaluation_transform
from tests.data.statistics import STATISTICS


def test_images_come_in_order_with_their_failures(toy_root, tmp_path):
    paths = [image.path for image in read_captions(data_paths(toy_root, "toy"), ("test",))][:4]
    paths.insert(1, tmp_path / "absent.jpg")
    batches = list(
        image_loader(paths, evaluation_transform(32, STATISTICS), 3, 0, 32, torch.device("cpu"))
    )
    assert [batch.indices for batch in batches] == [[0, 2], [3, 4]]
    assert batches[0].images.shape == (2, 3, 32, 32)
    assert [failure.index for failure in batches[0].failures] == [1]


def test_what_workers_get_can_be_sent_to_processes_that_are_spawned(toy_root):
    paths = [image.path for image in read_captions(data_paths(toy_root, "toy"), ("test",))][:2]
    loaded = image_loader(
        paths, evaluation_transform(32, STATISTICS), 2, 0, 32, torch.device("cpu")
    )
    sent = pickle.dumps((loaded.dataset, loaded.collate_fn, loaded.worker_init_fn))
    dataset, collate, _ = pickle.loads(sent)
    assert torch.equal(collate([dataset[0], dataset[1]]).images, next(iter(loaded)).images)
