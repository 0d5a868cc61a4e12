"""Batches and a model that is small enough for them."""

import dataclasses

import torch

from misc.config import TrainConfig
from misc.data.caption_phrases import NamedThings
from misc.data.training_batches import TrainingBatch
from misc.training.steps import set_trainable
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

EVERYTHING = TrainConfig(text_from=0, image_from=0, first_trained_stage=0)


def small_model(config, dropout=0.0):
    torch.manual_seed(0)
    model = JointEmbedding(ModelConfig("resnet18", 1, 16, 2, dropout, 5, 2, dropout))
    set_trainable(model, config, epoch=0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return model


def pairs(count, side=16):
    """A batch of pairs, some of which are of the same image."""
    torch.manual_seed(count)
    images, vectors = torch.randn(count, 3, side, side), torch.randn(count, 7, 5)
    lengths, image_ids = torch.randint(1, 8, (count,)), torch.arange(count) // 2 * 3 % 7
    return TrainingBatch(images, image_ids, vectors, lengths, torch.arange(count), failures=[])


def captioned(*counts, side=16):
    """A batch of different images, each with as many captions as said."""
    torch.manual_seed(len(counts))
    images, vectors = torch.randn(len(counts), 3, side, side), torch.randn(sum(counts), 7, 5)
    image_ids, owners = torch.arange(len(counts)), torch.arange(len(counts))
    owners = owners.repeat_interleave(torch.tensor(counts))
    lengths = torch.randint(1, 8, (sum(counts),))
    return TrainingBatch(images, image_ids * 5, vectors, lengths, owners, failures=[])


def phrased(*counts):
    """A batch of different images with captions and phrases, which name some of four things."""
    batch, heads = captioned(*counts, side=64), torch.arange(sum(counts)) % 6 - 2
    return dataclasses.replace(
        batch, things=NamedThings(heads.clamp(min=-1), torch.rand(len(counts), 4) > 0.5)
    )


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
