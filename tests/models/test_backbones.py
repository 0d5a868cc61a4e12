import pytest
import torch

from misc.presets import PRESETS
from models.backbones import build_trunk, trunk_stages
from models.joint_embedding import JointEmbedding
from tests.models.backbones import LITE, small


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


def test_features_that_were_computed_before_pass_the_trunk_by():
    model, images = small("resnet18"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = model.image_encoder.trunk(images)
        torch.testing.assert_close(model.encode_image(features), model.encode_image(images))


def test_the_preset_for_photographs_builds_a_model():
    model_config, config = PRESETS["photos"]
    with torch.device("meta"):
        model = JointEmbedding(model_config)
    assert model.image_encoder.channels == 1280
    assert config.thaw_epoch > config.epochs
