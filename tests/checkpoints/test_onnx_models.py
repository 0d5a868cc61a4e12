import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from misc.checkpoints.__main__ import get_parser, main
from misc.checkpoints.checkpoint import save_checkpoint
from misc.checkpoints.onnx_models import write_onnx
from misc.presets import PRESETS
from misc.words.word_vectors import WordVectors
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.texts import batch_of

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

DEPLOYMENT = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
MINIATURE = ModelConfig(
    backbone="resnet18",
    stages=2,
    embedding_dim=16,
    pool_k=3,
    word_dim=50,
    sru_layers=2,
    input_size=128,
    localization_size=128,
)


def export(path, folder):
    return main(get_parser().parse_args(["onnx", "-p", str(path), "-o", str(folder)]))


@pytest.fixture(scope="module", params=[("weldon", "last"), ("max", "max")], ids="/".join)
def model(request):
    torch.manual_seed(0)
    image_pooling, text_pooling = request.param
    config = replace(MINIATURE, image_pooling=image_pooling, text_pooling=text_pooling)
    model = JointEmbedding(config).eval()
    with torch.no_grad():  # what starts at zero shows no error
        for layer in model.text_encoder.sru.rnn_lst:
            layer.get_parameter("weight_c").normal_()
            layer.get_parameter("bias").normal_()
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    training = {"config": vars(PRESETS["toy"][1])}
    save_checkpoint(folder / "best.pt", model, training, word_table="of GloVe")
    files = export(folder / "best.pt", folder / "onnx")
    assert sorted(file.name for file in files) == sorted(
        file.name for file in (folder / "onnx").iterdir()
    )
    return folder / "onnx"


def run(folder, name, **inputs):
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    arrays = {key: value.numpy() for key, value in inputs.items()}
    return torch.from_numpy(session.run(None, arrays)[0])


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 97, 150), (2, 128, 33), (1, 16, 24)])
@torch.inference_mode()
def test_images_are_embedded_and_mapped_as_by_torch_whatever_their_number_and_size(
    model, folder, shape
):
    count, height, width = shape
    images = torch.randn(count, 3, height, width)
    embeddings, maps = model.encode_image(images), model.activation_maps(images)
    for name, expected in (("image_encoder", embeddings), ("activation_maps", maps)):
        found = run(folder, name, images=images)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("lengths", [[1], [5], [3, 1, 7, 2], [4, 4], [60, 2]])
@torch.inference_mode()
def test_texts_are_embedded_as_by_torch_whatever_their_number_and_length(model, folder, lengths):
    vectors, lengths = torch.randn(len(lengths), max(lengths) + 1, 50), torch.tensor(lengths)
    found = run(folder, "text_encoder", vectors=vectors, lengths=lengths)
    expected = model.encode_text(vectors, lengths)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_the_description_says_how_images_are_prepared(folder):
    assert json.loads((folder / "model.json").read_text(encoding="utf-8")) == {
        "image_size": 128,
        "mean": [0.485, 0.456, 0.406],
        "standard_deviation": [0.229, 0.224, 0.225],
        "embedding_dim": 16,
        "word_dim": 50,
        "word_vectors": "glove",  # where texts' vectors are from, which are not in the files
        "word_table_sha256": "of GloVe",
        "opset": 20,
    }


def test_the_example_in_the_documents_computes_what_the_model_does(
    model, folder, toy_root, tmp_path, monkeypatch
):
    blocks = re.findall(r"```python\n(.*?)```", DEPLOYMENT.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "onnxruntime" in block]
    assert "torch" not in example
    photo = sorted((toy_root / "toy" / "coco" / "images" / "val2014").glob("*.jpg"))[0]
    (tmp_path / "photo.jpg").symlink_to(photo)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "onnx").symlink_to(folder)
    (tmp_path / "data").symlink_to(toy_root)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)

    from misc.data.decoding import load_image
    from misc.data.transforms import evaluation_transform

    word_vectors = WordVectors.load(toy_root / "toy" / "word_vectors")
    with torch.inference_mode():
        image = model.encode_image(
            evaluation_transform(128, model.config.image_statistics)(load_image(photo))[None]
        )
        text = model.encode_text(*batch_of(word_vectors, "a dog in the snow"))
    np.testing.assert_allclose(names["image"], image, rtol=0, atol=1e-4)
    np.testing.assert_allclose(names["text"], text, rtol=0, atol=1e-4)


def test_a_part_that_torch_cannot_export_is_one_clear_line(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images  # no graph holds this

    inputs = {"images": (torch.zeros(2, 3), {0: "batch"})}
    told = r"image_encoder\.onnx: torch .* cannot export this part of the model: Could not guard"
    with pytest.raises(ValueError, match=told) as caught:
        write_onnx(Branching(), inputs, "embeddings", tmp_path / "image_encoder.onnx")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*absent.pt"):
        export(tmp_path / "absent.pt", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install -r requirements-export.txt"):
        export(tmp_path / "absent.pt", tmp_path)
