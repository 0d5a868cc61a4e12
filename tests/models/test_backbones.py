import pytest
import torch
from torch import nn

from misc.config import TrainConfig
from misc.inference.acceleration import accelerate
from misc.presets import PRESETS
from misc.training.image_weights import PACKAGE, normalised_for, start_from
from misc.training.steps import set_trainable
from models.backbones import build_trunk, image_statistics, trunk_stages
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

LITE = "timm/tf_efficientnet_lite0"


def small(backbone, **settings):
    torch.manual_seed(0)
    sizes = {"embedding_dim": 16, "pool_k": 2, "word_dim": 5, "sru_layers": 1, "input_size": 64}
    return JointEmbedding(ModelConfig(backbone, **sizes, **settings)).eval()


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "convnext_atto", "swin_tiny_patch4_window7_224"]
)
@torch.inference_mode()
def test_a_trunk_says_what_its_maps_are(name):
    trunk = build_trunk(f"timm/{name}", 4).eval()
    side = trunk.network.pretrained_cfg["input_size"][-1]
    maps = trunk(torch.zeros(1, 3, side, side))
    assert maps.shape == (1, trunk.channels, side // trunk.stride, side // trunk.stride)


@pytest.mark.parametrize(
    ("backbone", "stages", "message"),
    [
        ("timm/nothing", 4, "timm makes no model of 'nothing'"),
        ("timm/vit_tiny_patch16_224", 4, "no spatial feature map"),
        (LITE, 3, "--stages 3 is for ResNets"),
        ("resnet19", 4, "no backbone 'resnet19'"),
        ("resnet18", 5, "1 to 4 stages"),
    ],
)
def test_what_is_no_trunk_is_refused(backbone, stages, message):
    with pytest.raises(ValueError, match=message):
        build_trunk(backbone, stages)


def test_stages_of_timm_are_those_of_its_strides():
    stages = [stage for stage, _ in trunk_stages(build_trunk(LITE, 4))]
    # stem and blocks.0 have stride 2, blocks.1 4, blocks.2 8, blocks.3 and 4 16, the others 32
    assert stages == [0, 0, 0, 1, 2, 3, 3, 4, 4, 4, 4, 4, 4]


def test_a_frozen_trunk_thaws_in_its_epoch_and_from_its_stage():
    model = small(LITE)
    config = TrainConfig(image_from=0, finetune_epoch=2, first_trained_stage=4)
    set_trainable(model, config, 1)
    assert not any(weight.requires_grad for weight in model.image_encoder.trunk.parameters())
    assert model.image_encoder.convolution.weight.requires_grad
    assert not model.image_encoder.trunk.network.bn2.training
    set_trainable(model, config, 2)
    network = model.image_encoder.trunk.network
    assert network.conv_head.weight.requires_grad and network.bn2.training
    assert not network.conv_stem.weight.requires_grad and not network.bn1.training


@pytest.mark.parametrize("backbone", [LITE, "timm/resnetv2_50", "timm/densenet121"])
@torch.inference_mode()
def test_an_accelerated_timm_model_computes_the_same(backbone):
    model = small(backbone)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    images = torch.randn(2, 3, 64, 96)
    found, expected = accelerate(model).encode_image(images), model.encode_image(images)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_features_that_were_computed_before_pass_the_trunk_by():
    model, images = small("resnet18"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = model.image_encoder.trunk(images)
        torch.testing.assert_close(model.encode_image(features), model.encode_image(images))


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
    with pytest.raises(ValueError, match="the one package is"):
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


def test_max_pooling_has_no_minimum_and_dropped_locations_come_in_training_only():
    model = small("resnet18", image_pooling="max", location_dropout=0.5)
    maps = torch.randn(1, 16, 2, 4)
    pooled = model.image_encoder.pool(maps)
    torch.testing.assert_close(pooled, maps.flatten(2).topk(2, dim=2).values.mean(dim=2))
    images = torch.randn(2, 3, 64, 128)
    assert torch.equal(model.encode_image(images), model.encode_image(images))
    left = model.image_encoder._drop_locations(maps)
    assert left.shape == (1, 16, 4, 1)
    assert set(left.flatten().tolist()) <= set(maps.flatten().tolist())
    with pytest.raises(ValueError, match="no pooling 'mean'; there are weldon, max"):
        small("resnet18", image_pooling="mean")


def test_the_preset_for_photographs_builds_a_model():
    model_config, config = PRESETS["photos"]
    with torch.device("meta"):
        model = JointEmbedding(model_config)
    assert model.image_encoder.channels == 1280
    assert config.thaw_epoch > config.epochs
