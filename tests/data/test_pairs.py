import pytest
import torch

from misc.config import TrainConfig
from misc.data.captioned_images import CaptionedImage
from misc.data.captions import read_captions
from misc.data.images import image_loader
from misc.data.pairs import PairDataset, collate_pairs, pair_loader
from misc.data.paths import DataPaths, data_paths, find_word_vectors
from misc.data.transforms import evaluation_transform, training_transform
from models.config import ModelConfig

STATISTICS = ModelConfig().image_statistics


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


def test_images_come_in_order_with_their_sizes_and_failures(toy_root, tmp_path):
    paths = [image.path for image in read_captions(data_paths(toy_root, "toy"), ("test",))][:4]
    paths.insert(1, tmp_path / "absent.jpg")
    batches = list(
        image_loader(paths, evaluation_transform(32, STATISTICS), 3, 0, 32, torch.device("cpu"))
    )
    assert [batch.indices for batch in batches] == [[0, 2], [3, 4]]
    assert batches[0].sizes == [(128, 128)] * 2
    assert [failure.index for failure in batches[0].failures] == [1]


def test_word_vectors_are_those_chosen_else_those_of_training_else_the_data_roots(
    toy_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("DSVE_DATA", str(toy_root))
    toy, elsewhere = data_paths(toy_root, "toy"), DataPaths(tmp_path)
    assert find_word_vectors("", toy, "/not/used").folder == toy.word_vectors
    assert find_word_vectors("glove", elsewhere).folder == toy.word_vectors
    assert find_word_vectors("", elsewhere, "glove").folder == toy.word_vectors
    other = DataPaths(tmp_path / "other")
    other.word_vectors.mkdir(parents=True)  # of another dimension, say
    assert find_word_vectors("", other, "glove").folder == toy.word_vectors
    assert find_word_vectors("", other, str(toy.word_vectors)).folder == toy.word_vectors
    assert find_word_vectors(str(toy.word_vectors), elsewhere).folder == toy.word_vectors
    with pytest.raises(FileNotFoundError, match="no word vectors"):
        find_word_vectors("", elsewhere)
    with pytest.raises(ValueError, match="needs word vectors of 620 dimensions.*have 50"):
        find_word_vectors("", toy, dimension=620)
