import dataclasses

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from misc.data.captions import read_captions
from misc.data.paths import DataPaths
from misc.training.progress_pictures import followed, heat_map_panel
from misc.words.word_vectors import WordVectors
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.conftest import SMALL_TRAINING

MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, pool_k=2, word_dim=50, sru_layers=1
)


@pytest.fixture
def images(toy_root):
    return read_captions(DataPaths(toy_root / "toy"), ("val",))


@pytest.fixture
def word_vectors(toy_root):
    return WordVectors.load(toy_root / "toy" / "word_vectors")


def panel_of(images, word_vectors, seed=0):
    torch.manual_seed(seed)
    return heat_map_panel(JointEmbedding(MINIATURE).eval(), images, word_vectors, 64)


def test_every_validation_adds_a_picture_to_tensorboard(toy_root, tmp_path):
    command = f"{SMALL_TRAINING} -n run --epochs 2 --max-batches 1"
    command += f" --data-root {toy_root} --runs {tmp_path}"
    train.main(train.get_parser().parse_args(command.split()))
    events = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0}).Reload()
    first, second = events.Images("heat maps")
    assert (first.step, second.step) == (0, 1)
    assert first.encoded_image_string != second.encoded_image_string


def test_the_same_four_captions_are_followed_evenly_spread(images):
    assert len(images) == 8
    assert followed(images) == images[0::2]
    assert followed(images[:3]) == images[:3]
    assert followed(images * 100) == (images * 100)[::200]
    silent = dataclasses.replace(images[0], captions=())
    assert followed([silent, images[1]]) == [images[1]]


def test_a_panel_shows_the_models_heat_maps_of_images_that_can_be_read(
    images, word_vectors, tmp_path
):
    chosen = followed(images)
    picture = np.asarray(panel_of(chosen, word_vectors))
    assert picture.shape[1] > 4 * 256
    assert (picture == np.asarray(panel_of(chosen, word_vectors))).all()
    assert (picture != np.asarray(panel_of(chosen, word_vectors, seed=1))).any()
    missing = dataclasses.replace(chosen[0], path=tmp_path / "absent.jpg")
    others = np.asarray(panel_of([missing, *chosen[1:]], word_vectors))
    assert (others == np.asarray(panel_of(chosen[1:], word_vectors))).all()
    assert panel_of([missing], word_vectors) is None
