import pytest
import torch

from misc.checkpoints.checkpoint import load_model
from misc.checkpoints.published import load_image_weights
from misc.training.image_weights import normalised_for, start_from
from models.backbones import image_statistics
from models.joint_embedding import JointEmbedding
from tests.checkpoints.files_of_2018 import (
    MINIATURE,
    lively,
    published_content,
    save_published,
    their_key,
)
from tests.models.backbones import LITE, small


@pytest.fixture
def model():
    torch.manual_seed(0)
    return lively(JointEmbedding(MINIATURE)).eval()


def image_weights(model):
    parts = {"image_encoder.trunk.": "base_layer.", "image_encoder.convolution.": "spaConv."}
    return {
        their_key(key, parts): tensor
        for key, tensor in model.state_dict().items()
        if key.startswith(tuple(parts))
    } | {"fc.weight": torch.ones(1000, 16), "fc.bias": torch.ones(1000)}


@pytest.mark.parametrize("wrapped", [True, False])
def test_image_weights_go_into_the_image_path_but_not_into_the_affine_layer(
    model, tmp_path, wrapped
):
    weights = image_weights(model)
    content = {"state_dict": {f"module.{key}": t for key, t in weights.items()}}
    path = save_published(tmp_path / "classif.pth.tar", content if wrapped else weights, False)
    torch.manual_seed(5)
    other = JointEmbedding(MINIATURE).eval()
    projection = other.image_encoder.projection.weight.clone()
    parameters = list(other.parameters())
    load_image_weights(path, other)
    images = torch.randn(2, 3, 64, 64)
    encoders = model.image_encoder, other.image_encoder
    assert torch.equal(*[encoder.unprojected_maps(images) for encoder in encoders])
    assert torch.equal(other.image_encoder.projection.weight, projection)
    assert all(a is b for a, b in zip(parameters, other.parameters(), strict=True))


def test_image_weights_that_do_not_fit_are_an_error(model, tmp_path):
    weights = image_weights(model)
    del weights["spaConv.bias"]
    path = save_published(tmp_path / "classif.pth.tar", weights)
    with pytest.raises(ValueError, match=r"classif.*missing keys: convolution\.bias"):
        load_image_weights(path, model)


def test_each_kind_of_file_in_the_place_of_the_other_is_explained(model, tmp_path):
    path = save_published(tmp_path / "classif.pth.tar", image_weights(model))
    with pytest.raises(ValueError, match="image path only.*--image-weights"):
        load_model(path)
    path = save_published(tmp_path / "best.pth.tar", published_content(model))
    with pytest.raises(ValueError, match="best.pth.tar holds no image weights"):
        load_image_weights(path, model)


PACKAGE = "package:efficientnet-lite0"


def test_weights_of_the_package_are_loaded_in_order_and_see_what_they_were_trained_for():
    torch.manual_seed(0)
    model = small(LITE)
    before = model.image_encoder.trunk.network.conv_head.weight.clone()
    start_from(model, PACKAGE)
    state = model.image_encoder.trunk.state_dict()
    assert not torch.equal(state["network.conv_head.weight"], before)
    assert (state["network.bn2.running_var"] > 0).all()
    assert int(state["network.bn1.num_batches_tracked"]) >= 0
    config = normalised_for(model.config, PACKAGE)
    assert config.image_mean == (127 / 255,) * 3 and config.image_deviation == (128 / 255,) * 3


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="use --backbone timm/tf_efficientnet_lite0"):
        start_from(small("resnet18"), PACKAGE)
    with pytest.raises(ValueError, match="there are package:efficientnet-lite0, package:eff"):
        start_from(small("resnet18"), "package:else")
    torch.save({"network": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="missing keys"):
        start_from(small(LITE), str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("backbone", ["resnet18", LITE])
def test_a_networks_own_file_is_read_without_its_classifier(tmp_path, backbone):
    import timm
    from torchvision.models import resnet18

    torch.manual_seed(1)
    of_timm = backbone.startswith("timm/")
    network = timm.create_model(backbone.removeprefix("timm/")) if of_timm else resnet18()
    torch.save(network.state_dict(), tmp_path / "network.pth")
    model = small(backbone)
    start_from(model, str(tmp_path / "network.pth"))
    images = torch.randn(1, 3, 64, 64)
    network.eval()
    with torch.inference_mode():
        features = model.image_encoder.trunk(images)
        logits = features.mean(dim=(2, 3)) @ list(network.children())[-1].weight.T
        expected = network(images) - list(network.children())[-1].bias
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_normalisation_follows_the_backbone():
    assert image_statistics("resnet18")[0] == (0.485, 0.456, 0.406)
    assert image_statistics(LITE)[0] == (0.5, 0.5, 0.5)  # of timm's own weights
