import argparse

import numpy as np
import pytest
import torch

from misc.checkpoints.checkpoint import Checkpoint, build_model, load_model, read_checkpoint
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.checkpoints.files_of_2018 import MINIATURE, published_content, save_published


@pytest.fixture
def model(lively_model):
    return lively_model


@torch.inference_mode()
def embeddings(model, side=64, steps=5):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(1, 3, side, side, generator=generator)
    vectors = torch.randn(2, steps, model.config.word_dim, generator=generator)
    return torch.cat(model(images, vectors, torch.tensor([steps, 2])))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_2018_gives_the_same_embeddings(model, tmp_path, zipped):
    path = save_published(tmp_path / "best_model.pth.tar", published_content(model), zipped)
    loaded = load_model(path)
    assert loaded.config == MINIATURE
    assert not loaded.training
    torch.testing.assert_close(embeddings(loaded), embeddings(model), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def published_model():
    """A model of the published size, with small weights drawn without torchvision's care."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = JointEmbedding(ModelConfig())
    tensors = {}
    for name, tensor in model.state_dict().items():
        if "running_var" in name or name.endswith("scale_x"):
            tensors[name] = torch.ones_like(tensor, device="cpu")
        elif tensor.dim() < 2:
            tensors[name] = torch.full_like(tensor, 0.1, device="cpu")
        else:
            inputs = tensor[0].numel() if "sru" not in name else len(tensor)
            weights = torch.empty_like(tensor, device="cpu")
            tensors[name] = weights.uniform_(-1, 1).mul_((3 / inputs) ** 0.5)
        if ".bn3." in name and name.endswith("weight"):
            tensors[name] = tensors[name] * 0.5  # else 50 residual blocks add up to infinity
    return build_model(Checkpoint(ModelConfig(), tensors, {}), "memory")


@pytest.mark.parametrize("zipped", [True, False])
def test_the_full_size_model_survives_both_formats_of_2018(published_model, tmp_path, zipped):
    content = published_content(published_model, optimizer=None)
    path = save_published(tmp_path / "best_model.pth.tar", content, zipped)
    loaded = load_model(path)
    path.unlink()
    assert loaded.config == ModelConfig()
    before = embeddings(published_model, side=128, steps=3)
    assert before[1] @ before[2] < 0.999  # the embeddings tell different texts apart
    torch.testing.assert_close(embeddings(loaded, 128, 3), before, rtol=0, atol=1e-5)


def test_a_recurrent_weight_that_is_not_zero_changes_texts_only(model, tmp_path):
    content = published_content(model)
    content["state_dict"] = {
        key: torch.zeros_like(tensor) if "weight_c" in key else tensor
        for key, tensor in content["state_dict"].items()
    }
    without = embeddings(load_model(save_published(tmp_path / "zero.pth.tar", content)))
    with_it = embeddings(model)
    assert torch.equal(without[0], with_it[0])
    assert ((without - with_it)[1:].abs().amax(dim=1) > 1e-3).all()


def test_keys_may_lack_module_and_name_the_children_of_the_resnet(model, tmp_path):
    names = ["conv1", "bn1", "", "", "layer1", "layer2"]
    state = {}
    for key, tensor in published_content(model)["state_dict"].items():
        key = key.replace("module.", "")
        prefix, _, rest = key.partition("base_layer.0.")
        if rest:
            child, _, rest = rest.partition(".")
            key = f"{prefix}base_layer.0.{names[int(child)]}.{rest}"
        state[key] = tensor
    path = save_published(tmp_path / "plain.pth.tar", {"state_dict": state})
    assert torch.equal(embeddings(load_model(path)), embeddings(model))


def test_the_whole_model_may_have_been_wrapped(model, tmp_path):
    content = published_content(model)
    content["state_dict"] = {f"module.{key}": t for key, t in content["state_dict"].items()}
    path = save_published(tmp_path / "wrapped.pth.tar", content)
    assert torch.equal(embeddings(load_model(path)), embeddings(model))


def test_early_files_have_no_counters_of_batches(model, tmp_path):
    content = published_content(model)
    content["state_dict"] = {
        key: tensor
        for key, tensor in content["state_dict"].items()
        if not key.endswith("num_batches_tracked")
    }
    path = save_published(tmp_path / "early.pth.tar", content)
    assert torch.equal(embeddings(load_model(path)), embeddings(model))


def test_tensors_that_were_on_a_gpu_come_to_the_cpu(model, tmp_path):
    path = save_published(tmp_path / "cuda.pth.tar", published_content(model), zipped=False)
    data = path.read_bytes()
    on_gpu = data.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage").replace(
        b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    )
    assert on_gpu.count(b"cuda") > data.count(b"cuda")
    path.write_bytes(on_gpu)
    assert torch.equal(embeddings(load_model(path)), embeddings(model))


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_best_recall_is_read_under_both_names_of_numpys_module(model, tmp_path, module):
    path = save_published(tmp_path / "best.pth.tar", published_content(model), zipped=False)
    written = np.float64(1).__reduce__()[0].__module__.encode()
    data = path.read_bytes()
    assert b"c" + written + b"\nscalar" in data
    path.write_bytes(data.replace(b"c" + written + b"\n", b"c" + module + b"\n"))
    notes = read_checkpoint(path).notes
    assert notes == {"sru": 2, "dimemb": 16, "name": "x", "epoch": 21, "best_rec": 41.5}


@pytest.mark.parametrize("backbone", ["resnet34", "resnet50", "resnet101"])
def test_the_backbone_is_recognised_by_its_blocks(backbone, tmp_path):
    config = ModelConfig(backbone=backbone, embedding_dim=4, word_dim=3, sru_layers=1)
    path = save_published(tmp_path / "a.pth.tar", published_content(JointEmbedding(config)))
    assert load_model(path).config == config


def test_settings_that_contradict_the_tensors_are_an_error(model, tmp_path):
    content = published_content(model, args_dict=argparse.Namespace(sru=4, dimemb=16))
    path = save_published(tmp_path / "odd.pth.tar", content)
    with pytest.raises(ValueError, match="odd.pth.tar contradicts itself.*sru = 4.*tensors 2"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("cap_emb.rnn.rnn_lst.0.bias"), r"missing keys: .*rnn_lst\.0\.bias"),
        (lambda s: s.pop("cap_emb.rnn.rnn_lst.0.weight"), r"rnn_lst\.0\.weight is missing"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected keys: extra"),
        (
            lambda s: s.update({"fc.module.bias": torch.ones(3)}),
            r"wrong shapes: image_encoder\.projection\.bias \(3,\) instead of \(16,\)",
        ),
        (
            lambda s: s["fc.module.bias"].fill_(float("nan")),
            r"NaN or infinite: fc\.module\.bias",
        ),
        (
            lambda s: s.update({"img_emb.module.base_layer.0.4.7.conv1.weight": torch.ones(1)}),
            r"no ResNet that is known here: its stages have \(8, 2\) blocks",
        ),
    ],
)
def test_what_does_not_fit_is_named(model, tmp_path, change, message):
    content = published_content(model)
    change(content["state_dict"])
    path = save_published(tmp_path / "changed.pth.tar", content)
    with pytest.raises(ValueError, match=message) as error:
        load_model(path)
    assert "changed.pth.tar" in str(error.value)
