"""Runs of the localisation scripts, and the heat map that each must equal."""

import numpy as np
import torch

from misc.data.decoding import load_image
from misc.data.transforms import evaluation_transform
from models.config import ModelConfig
from tests.texts import batch_of

SIZE, COMPONENTS = 48, 5


def run(script, checkpoint, root, *options):
    command = ["-p", checkpoint, "--data-root", root, "--workers", "0", "--device", "cpu"]
    command += ["--image-size", SIZE, "-k", COMPONENTS, *options]
    return script.main(script.get_parser().parse_args(list(map(str, command))))


def twin_shared(maps, affinity):
    """One location after the other becomes the mean of all, as they are like it."""
    dimension, height, width = maps.shape
    units = [location / np.linalg.norm(location) for location in maps.reshape(dimension, -1).T]
    shared = []
    for own in units:
        weights = [np.exp(affinity * own @ other) for other in units]
        shared.append(np.average(units, axis=0, weights=weights))
    return np.stack(shared, axis=1).reshape(dimension, height, width)


@torch.inference_mode()
def twin_heat_map(model, word_vectors, path, text, affinity=0.0):
    """One image, one text, one component after the other."""
    image = evaluation_transform(SIZE, ModelConfig().image_statistics)(load_image(path))[None]
    maps = model.image_encoder.unprojected_maps(image)[0].numpy()
    if affinity:
        maps = twin_shared(maps, affinity)
    projection = model.image_encoder.projection.weight.numpy()
    maps = np.einsum("ed,dhw->ehw", projection, maps)
    embedding = model.encode_text(*batch_of(word_vectors, text))[0].numpy()
    chosen = np.argsort(embedding)[::-1][:COMPONENTS]
    return sum(np.abs(embedding[u]) * maps[u] for u in chosen)
