import dataclasses
import os

import torch

from misc.features.plans import fingerprint, list_hash, state_of_files
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding


def test_a_model_is_its_weights_and_its_settings():
    config = ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1)
    model = JointEmbedding(config)
    before = fingerprint(model)
    for change in ({"image_mean": (0.5, 0.5, 0.5)}, {"pool_k": 3}):
        other = JointEmbedding(dataclasses.replace(config, **change))
        other.load_state_dict(model.state_dict())
        assert fingerprint(other) != before
    with torch.no_grad():
        model.image_encoder.projection.weight[0, 0] += 1
    assert fingerprint(model) != before


def test_a_file_is_its_size_and_its_time(tmp_path):
    file, gone = tmp_path / "a.jpg", tmp_path / "b.jpg"
    file.write_bytes(b"1234")
    os.utime(file, ns=(5, 5))
    states = [state_of_files([file, gone])]
    file.write_bytes(b"12345")
    os.utime(file, ns=(5, 5))
    states.append(state_of_files([file, gone]))
    os.utime(file, ns=(5, 6))
    states += [state_of_files([file, gone]), state_of_files([gone, file]), state_of_files([file])]
    assert len(set(states)) == 5


def test_names_of_any_kind_are_hashed_in_their_order():
    names = ["a", "b", "ab", "caf\udce9", "\ud800"]
    lists = [[name] for name in names] + [["a", "b"], ["b", "a"], []]
    assert len({list_hash(one) for one in lists}) == len(lists)
