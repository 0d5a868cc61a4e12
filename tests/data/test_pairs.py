import pickle

import pytest
import torch

from misc.config import TrainConfig
from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.pairs import PairDataset, collate_pairs, pair_loader
from misc.data.paths import data_paths, find_word_vectors
from misc.data.transforms import training_transform
from tests.data.statistics import STATISTICS


@pytest.fixture
def pairs(toy_root):
    paths = data_paths(toy_root, "toy")
    images = read_captions(paths, ("train",))
    transform = training_transform(32, 0.5, flip=True, statistics=STATISTICS)
    return PairDataset(images, transform, find_word_vectors("", paths), TrainConfig(seed=3))


def test_every_caption_of_every_image_is_a_pair(pairs):
    assert len(pairs) == 24 * 5
    ids = [pairs[index][2] for index in range(10)]
    assert ids == [pairs.images[0].image_id] * 5 + [pairs.images[1].image_id] * 5


def test_a_pair_depends_on_seed_epoch_and_index_alone(pairs):
    first = pairs[7][0]
    torch.rand(5)
    assert torch.equal(pairs[7][0], first)
    assert not torch.equal(pairs[8][0], first)  # another caption of the same image
    pairs.epoch = 1
    assert not torch.equal(pairs[7][0], first)


def test_pairs_can_be_sent_to_a_process_that_is_spawned(pairs):
    sent = pickle.loads(pickle.dumps((pairs, collate_pairs)))[0]
    assert torch.equal(sent[7][0], pairs[7][0])
    assert torch.equal(sent[7][1], pairs[7][1])


def test_reading_a_pair_leaves_the_random_state_alone(pairs):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pairs[0]
    assert torch.equal(torch.rand(3), expected)


def test_batches_are_whole_and_in_an_order_of_their_own_each_epoch(pairs):
    first = pairs.batches(16)
    flat = [index for batch in first for index in batch]
    assert [len(batch) for batch in first] == [16] * 7
    assert len(set(flat)) == len(flat)
    assert pairs.batches(16) == first
    pairs.epoch = 1
    assert pairs.batches(16) != first


def test_batches_go_on_where_others_ended_whatever_their_size(pairs):
    order = [index for batch in pairs.batches(8) for index in batch]
    left = [index for batch in pairs.batches(16, start=40) for index in batch]
    assert left == order[40:]
    assert pairs.batches(16, start=112) == []


def test_chunks_of_a_batch_are_its_pairs_in_order(pairs):
    batch = next(iter(pair_loader(pairs, pairs.batches(8), 0, torch.device("cpu"))))
    chunks = batch.chunks(3)
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    for name in ("images", "vectors", "lengths", "image_ids"):
        parts = torch.cat([getattr(chunk, name) for chunk in chunks])
        assert torch.equal(parts, getattr(batch, name))


def test_workers_give_the_batches_of_one_process(pairs):
    batches = pairs.batches(8)[:3]
    alone, together = (
        list(pair_loader(pairs, batches, workers, torch.device("cpu"))) for workers in (0, 2)
    )
    for first, second in zip(alone, together, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.vectors, second.vectors)
        assert torch.equal(first.image_ids, second.image_ids)


def test_unreadable_images_and_captions_without_words_are_failures(pairs, tmp_path):
    good = pairs.images[0]
    broken = CaptionedImage(1, tmp_path / "absent.jpg", ("a dog",))
    blank = CaptionedImage(2, good.path, ("  ",))
    dataset = PairDataset([good, broken, blank], pairs.transform, pairs.word_vectors, TrainConfig())
    batch = collate_pairs([dataset[index] for index in (0, 5, 6)])
    assert len(batch.images) == 1
    assert [failure.index for failure in batch.failures] == [5, 6]
    assert "absent.jpg" in batch.failures[0].reason
    assert len(collate_pairs([dataset[5]]).image_ids) == 0


def pair_dataset(toy_root, **settings):
    paths = data_paths(toy_root, "toy")
    images = read_captions(paths, ("train",))
    vectors = find_word_vectors("", paths)
    return PairDataset(images, lambda image: torch.empty(0), vectors, TrainConfig(**settings))


def test_captions_of_an_image_are_drawn_together_and_each_once(toy_root):
    dataset = pair_dataset(toy_root, captions_per_image=3)
    order: list[int] = sum(dataset.batches(6), [])
    assert sorted(order) == sorted(set(order)) and len(order) == 120
    runs = [1]
    for first, second in zip(order, order[1:], strict=False):
        same = dataset.pairs[first][0] == dataset.pairs[second][0]
        runs = [*runs[:-1], runs[-1] + 1] if same else [*runs, 1]
    assert set(runs) <= {2, 3, 5} and runs.count(3) > 15
    dataset.epoch = 1
    assert sum(dataset.batches(6), []) != order


def test_words_are_dropped_at_random_but_never_all(toy_root):
    vectors = torch.arange(40.0).view(20, 2)
    left = pair_dataset(toy_root, word_dropout=0.5)._drop_words(vectors)
    assert 2 < len(left) < 18
    assert all(any(torch.equal(row, word) for word in vectors) for row in left)
    assert len(pair_dataset(toy_root, word_dropout=1.0)._drop_words(vectors)) == 20
