import dataclasses
import pickle

import pytest
import torch

from misc.config import TrainConfig
from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.paths import data_paths, find_word_vectors
from misc.data.training_batches import TENSORS, collate
from misc.data.training_dataset import TrainingDataset, load_batches
from misc.data.transforms import training_transform
from tests.data.statistics import STATISTICS


@pytest.fixture
def pairs(toy_root):
    paths = data_paths(toy_root, "toy")
    images = read_captions(paths, ("train",))
    transform = training_transform(32, 0.5, flip=True, statistics=STATISTICS)
    return TrainingDataset(images, transform, find_word_vectors("", paths), TrainConfig(seed=3))


def test_every_caption_of_every_image_is_a_pair(pairs):
    assert len(pairs) == 24 * 5
    ids = [pairs[index].image_id for index in range(10)]
    assert ids == [pairs.images[0].image_id] * 5 + [pairs.images[1].image_id] * 5


def test_a_pair_depends_on_seed_epoch_and_index_alone(pairs):
    first = pairs[7][0]
    torch.rand(5)
    assert torch.equal(pairs[7][0], first)
    assert not torch.equal(pairs[8][0], first)  # another caption of the same image
    pairs.epoch = 1
    assert not torch.equal(pairs[7][0], first)


def test_each_epoch_draws_one_of_the_cached_views_of_an_image(pairs):
    class Places:
        views = 3

        def load(self, index, view=0):
            return torch.tensor([index, view])

    pairs.features = Places()
    drawn = []
    for epoch in range(4):
        pairs.epoch = epoch
        drawn.append([pairs[item].image.tolist() for item in range(0, 120, 5)])
        assert drawn[-1] == [pairs[item].image.tolist() for item in range(0, 120, 5)]
        assert [index for index, _ in drawn[-1]] == list(range(24))
        assert {view for _, view in drawn[-1]} == {0, 1, 2}
    assert drawn[0] != drawn[1]


def test_pairs_can_be_sent_to_a_process_that_is_spawned(pairs):
    sent = pickle.loads(pickle.dumps((pairs, collate)))[0]
    assert torch.equal(sent[7][0], pairs[7][0])
    assert torch.equal(sent[7].texts[0], pairs[7].texts[0])


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


def test_chunks_of_a_batch_are_its_images_and_their_captions_in_order(pairs):
    batch = next(iter(load_batches(pairs, pairs.batches(8), 0, torch.device("cpu"))))
    batch.owners = torch.tensor([0, 0, 1, 3, 4, 5, 5, 7])  # two images have none
    chunks = batch.chunks(3)
    assert [len(chunk.images) for chunk in chunks] == [3, 3, 2]
    assert [chunk.owners.tolist() for chunk in chunks] == [[0, 0, 1], [0, 1, 2, 2], [1]]
    for name in {*TENSORS} - {"owners"}:
        parts = torch.cat([getattr(chunk, name) for chunk in chunks])
        assert torch.equal(parts, getattr(batch, name))


def test_workers_give_the_batches_of_one_process(pairs):
    batches = pairs.batches(8)[:3]
    alone, together = (
        list(load_batches(pairs, batches, workers, torch.device("cpu"))) for workers in (0, 2)
    )
    for first, second in zip(alone, together, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.vectors, second.vectors)
        assert torch.equal(first.image_ids, second.image_ids)


def test_unreadable_images_and_captions_without_words_are_failures(pairs, tmp_path):
    good = pairs.images[0]
    broken = CaptionedImage(1, tmp_path / "absent.jpg", ("a dog",))
    blank = CaptionedImage(2, good.path, ("  ",))
    dataset = TrainingDataset(
        [good, broken, blank], pairs.transform, pairs.word_vectors, TrainConfig()
    )
    batch = collate([dataset[index] for index in (0, 5, 6)])
    assert len(batch.images) == 1
    assert [failure.index for failure in batch.failures] == [5, 6]
    assert "absent.jpg" in batch.failures[0].reason
    assert len(collate([dataset[5]]).image_ids) == 0


def dataset_of(toy_root, **settings):
    paths = data_paths(toy_root, "toy")
    images = read_captions(paths, ("train",))
    vectors = find_word_vectors("", paths)
    return TrainingDataset(images, lambda image: torch.empty(0), vectors, TrainConfig(**settings))


def test_a_batch_of_images_has_each_once_with_all_its_captions_or_some(toy_root):
    dataset = dataset_of(toy_root, images_per_batch=4)
    assert len(dataset) == 24
    batches = list(load_batches(dataset, dataset.batches(4), 0, torch.device("cpu")))
    ids = torch.cat([batch.image_ids for batch in batches]).tolist()
    assert sorted(ids) == sorted(image.image_id for image in dataset.images)
    assert batches[0].owners.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    dataset = dataset_of(toy_root, images_per_batch=4, captions_per_image=2)
    texts = [sum(len(text) for text in dataset[0].texts)]
    assert len(dataset[0].texts) == 2 and torch.equal(dataset[0].texts[0], dataset[0].texts[0])
    for dataset.epoch in range(1, 8):
        texts.append(sum(len(text) for text in dataset[0].texts))
    assert len(set(texts)) > 1  # others in other epochs


def test_phrases_follow_the_captions_of_their_image_with_what_they_name(toy_root):
    paths = data_paths(toy_root, "toy")
    said = [["A dog runs on a red carpet ."], ["Two dogs , a cat .", "The cat ."], ["Hello ."]]
    images = [
        dataclasses.replace(image, captions=tuple(captions))
        for image, captions in zip(read_captions(paths, ("train",)), said, strict=False)
    ]
    transform = training_transform(32, 0.5, flip=False, statistics=STATISTICS)
    config = TrainConfig(
        images_per_batch=3, location_weight=1.0, location_phrases=2, warmup_epochs=8
    )
    dataset = TrainingDataset(images, transform, find_word_vectors("", paths), config)
    assert dataset.phrases is not None
    animals = ["two dogs", "a cat", "the cat"]
    assert dataset.phrases.texts == [["a dog", "a red carpet"], animals, []]
    assert dataset.phrases.heads == [[0, 1], [0, 2, 2], []]  # dog, carpet, cat
    batch = collate([dataset[item] for item in range(3)])
    assert batch.owners.tolist() == [0, 0, 0, 1, 1, 1, 1, 2]
    assert batch.lengths.tolist()[:3] == [8, 2, 3]
    assert batch.things is not None
    assert batch.things.heads.tolist()[:5] == [-1, 0, 1, -1, -1]
    assert batch.things.heads[7] == -1
    assert batch.things.of_images.tolist() == [[1, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert len(batch) == 4  # captions
    drawn = []
    for dataset.epoch in range(8):
        things = collate([dataset[1]]).things
        assert things is not None
        drawn.append(tuple(things.heads[2:].tolist()))
    assert set(drawn) == {(0, 2), (2, 2)}
    dataset.epoch = 8  # the warm-up is over, and phrases do not count
    batch = collate([dataset[item] for item in range(3)])
    assert (batch.things, batch.owners.tolist()) == (None, [0, 1, 1, 2])


def test_a_caption_without_words_costs_itself_and_is_named_and_not_its_image(toy_root):
    dataset = dataset_of(toy_root, images_per_batch=2)
    path = dataset.images[0].path
    dataset.images = [
        CaptionedImage(7, path, ("a dog", "  ", "a cat")),
        CaptionedImage(8, path, (" ",)),
    ]
    dataset.items = [(0, range(3)), (1, range(1))]
    batch = collate([dataset[0], dataset[1]])
    assert (batch.image_ids.tolist(), batch.owners.tolist()) == ([7], [0, 0])
    assert [failure.index for failure in batch.failures] == [0, 1]


def test_too_few_images_name_their_option(toy_root):
    with pytest.raises(ValueError, match="24 training images do not .* --images-per-batch"):
        dataset_of(toy_root, images_per_batch=32).batches(32)


def test_words_are_dropped_at_random_but_never_all(toy_root):
    vectors, generator = torch.arange(40.0).view(20, 2), torch.Generator()
    left = dataset_of(toy_root, word_dropout=0.5)._drop_words(vectors, generator)
    assert 2 < len(left) < 18
    assert all(any(torch.equal(row, word) for word in vectors) for row in left)
    assert len(dataset_of(toy_root, word_dropout=1.0)._drop_words(vectors, generator)) == 20
