import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from misc.data.captions import read_captions
from misc.data.decoding import load_image
from misc.data.paths import data_paths, find_word_vectors
from misc.data.transforms import evaluation_transform
from misc.inference.batches import embed_image_files, map_image_files
from misc.inference.encode import encode_pairs
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.texts import batch_of

SMALL = ModelConfig("resnet18", 2, 16, 2, word_dim=50, sru_layers=1)


def test_pairs_equal_their_singles(toy_root):
    model = JointEmbedding(SMALL).eval()
    paths = data_paths(toy_root, "toy")
    images, vectors = read_captions(paths, ("val",)), find_word_vectors("", paths)
    embeddings, captions, rows = encode_pairs(model, images, vectors, 32, batch_size=3)
    assert rows.tolist() == [row for row in range(8) for _ in range(5)]
    with torch.inference_mode():
        image = evaluation_transform(32, ModelConfig().image_statistics)(load_image(images[5].path))
        single = model.encode_image(image[None])[0]
        text = model.encode_text(*batch_of(vectors, images[5].captions[2]))[0]
    torch.testing.assert_close(embeddings[5], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(captions[27], text, atol=1e-5, rtol=0)


def test_maps_of_much_larger_images_are_the_mean_of_both_sizes_beside_embeddings_of_retrieval(
    toy_root,
):
    model = JointEmbedding(dataclasses.replace(SMALL, input_size=64)).eval()
    paths = [image.path for image in read_captions(data_paths(toy_root, "toy"), ("val",))]
    expected = torch.cat([rows for _, rows, _ in embed_image_files(model, paths, 64, 3)])
    for size in (64, 192):
        (batch,) = map_image_files(model, paths, size, batch_size=8)
        assert batch.maps.shape == (8, 16, size // 8, size // 8)
        torch.testing.assert_close(batch.embeddings, expected, atol=0.02, rtol=0)
    with torch.inference_mode():
        images = [
            evaluation_transform(192, ModelConfig().image_statistics)(load_image(path))
            for path in paths
        ]
        pooled, maps = model.encode_image_with_maps(torch.stack(images))
        smaller = F.interpolate(torch.stack(images), (64, 64), mode="bilinear", antialias=True)
        _, coarse = model.encode_image_with_maps(smaller)
    coarse = F.interpolate(coarse, (24, 24), mode="bilinear")
    torch.testing.assert_close(batch.maps, (maps + coarse) / 2)
    assert (batch.embeddings - pooled).abs().max() > 0.05  # what few of many locations would give


def test_images_may_have_any_number_of_captions(toy_root):
    model, paths = JointEmbedding(SMALL).eval(), data_paths(toy_root, "toy")
    images = [
        dataclasses.replace(image, captions=image.captions[:count])
        for count, image in enumerate(read_captions(paths, ("val",)))
    ]
    _, captions, rows = encode_pairs(model, images, find_word_vectors("", paths), 32, 4)
    assert rows.tolist() == [1, 2, 2, 3, 3, 3, *[4] * 4, *[5] * 5, *[6] * 5, *[7] * 5]
    assert len(captions) == len(rows)


def test_an_unreadable_image_is_left_out_with_its_captions(toy_root, caplog):
    model, paths = JointEmbedding(SMALL).eval(), data_paths(toy_root, "toy")
    images = read_captions(paths, ("val",))
    broken = type(images[0])(0, Path("absent.jpg"), images[0].captions)
    vectors = find_word_vectors("", paths)
    embeddings, captions, rows = encode_pairs(model, [broken, *images[1:]], vectors, 32, 4)
    assert (len(embeddings), len(captions)) == (7, 35)
    assert rows.tolist() == [row for row in range(7) for _ in range(5)]
    assert "left out: cannot read image absent.jpg" in caplog.text
    with pytest.raises(ValueError, match="none of the 1 images can be embedded"):
        encode_pairs(model, [broken], vectors, 32, 4)


def test_non_finite_embeddings_name_the_file_or_the_text(toy_root):
    paths = data_paths(toy_root, "toy")
    images, vectors = read_captions(paths, ("val",)), find_word_vectors("", paths)
    for part, told in (
        ("text_encoder.sru.rnn_lst.0", "the embedding of the text 'a.* is not finite"),
        ("image_encoder", r"none of the 8 images can be embedded: .*\.jpg: its embedding is not"),
    ):
        model = JointEmbedding(SMALL).eval()
        broken = model.get_submodule(part)
        parameter = broken.get_parameter("bias" if "sru" in part else "projection.bias")
        torch.nn.init.constant_(parameter, float("nan"))
        with pytest.raises(ValueError, match=told):
            encode_pairs(model, images, vectors, 32, 4)
