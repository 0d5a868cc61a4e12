"""Extractions into folders of parts."""

import torch

import image_features_extraction
from misc.checkpoints.checkpoint import save_checkpoint
from misc.features.reading import load_embeddings
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding


def save_model(path, seed=0):
    torch.manual_seed(seed)
    model = JointEmbedding(ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1))
    save_checkpoint(path, model, {"config": {"dataset": "toy", "word_vectors": "glove"}})
    return path


def arguments(model, photos, output, *more):
    command = ["-p", model, "-d", photos, "-o", output, "--shard-size", 12, "-bs", 4]
    command += ["--image-size", 64, "--workers", 0, "--device", "cpu", *more]
    return list(map(str, command))


def extract(*command):
    parser = image_features_extraction.get_parser()
    return image_features_extraction.main(parser.parse_args(arguments(*command)))


def assert_same(folder, expected):
    names, rows = load_embeddings(folder)
    expected_names, expected_rows = load_embeddings(expected)
    assert names == expected_names
    assert torch.equal(rows, expected_rows)
