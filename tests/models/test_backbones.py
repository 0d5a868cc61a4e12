import math

import pytest
import torch

from misc.presets import PRESETS
from models.backbones import (
    TimmTrunk,
    build_trunk,
    count_before,
    count_pointwise,
    trunk_parts,
    trunk_stages,
)
from models.joint_embedding import JointEmbedding
from tests.models.backbones import LITE, small


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "convnext_atto", "swin_tiny_patch4_window7_224"]
)
@torch.inference_mode()
def test_a_trunk_says_what_its_maps_are(name):
    trunk = build_trunk(f"timm/{name}", 4).eval()
    assert isinstance(trunk, TimmTrunk)
    side = trunk.network.pretrained_cfg["input_size"][-1]
    maps = trunk(torch.zeros(1, 3, side, side))
    assert maps.shape == (1, trunk.channels, side // trunk.stride, side // trunk.stride)


@pytest.mark.parametrize(
    ("backbone", "stages", "message"),
    [
        ("timm/nothing", 4, "timm makes no model of 'nothing'"),
        ("timm/vit_tiny_patch16_224", 4, "no spatial feature map"),
        ("timm/vgg11", 4, "no spatial feature map, but one of .1, 4096, 1, 1."),
        ("timm/inception_next_atto", 4, "timm makes no model of .*: Cannot disable pooling"),
        (LITE, 3, "--stages 3 is for ResNets"),
        ("resnet19", 4, "no backbone 'resnet19'"),
        ("resnet18", 5, "1 to 4 stages"),
    ],
)
def test_what_is_no_trunk_is_refused(backbone, stages, message):
    with pytest.raises(ValueError, match=message):
        build_trunk(backbone, stages)


# One of each family: side that it was made for, channels and stride.
FAMILIES = {
    "efficientnet_b1": (240, 1280, 32),
    "efficientnet_b3": (288, 1536, 32),
    "convnext_atto": (224, 320, 32),
    "resnet10t": (176, 512, 32),
    "regnetx_002": (224, 368, 32),
    "mobilenetv3_small_050": (224, 1024, 32),
    "mobilenetv4_conv_small": (224, 1280, 32),
    "edgenext_xx_small": (256, 168, 32),
    "ghostnet_050": (224, 1280, 32),
    "mobilevit_xxs": (256, 320, 32),
    "repvgg_a0": (224, 1280, 32),
    "pvt_v2_b0": (224, 256, 32),
    "selecsls42": (224, 1280, 64),
    "swin_tiny_patch4_window7_224": (224, 768, 32),
}
FIXED = {"swin_tiny_patch4_window7_224"}


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_of_timm_says_what_its_maps_are_at_any_size(name):
    side, channels, stride = FAMILIES[name]
    trunk = build_trunk(f"timm/{name}", 4).eval()
    assert (trunk.channels, trunk.stride) == (channels, stride)
    for size in {side, 128}:
        if name in FIXED and size != side:
            with pytest.raises(ValueError, match=f"{name} takes images of 224 x 224 pixels only"):
                trunk(torch.zeros(1, 3, size, size))
            continue
        cells = math.ceil(size / stride)
        assert trunk(torch.zeros(1, 3, size, size)).shape == (1, channels, cells, cells)


def test_stages_of_timm_are_those_of_its_strides():
    stages = [stage for stage, _ in trunk_stages(build_trunk(LITE, 4))]
    # stem and blocks.0 have stride 2, blocks.1 4, blocks.2 8, blocks.3 and 4 16, the others 32
    assert stages == [0, 0, 0, 1, 2, 3, 3, 4, 4, 4, 4, 4, 4]


def test_features_that_were_computed_before_pass_the_trunk_by():
    model, images = small("resnet18"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = model.image_encoder.trunk(images)
        torch.testing.assert_close(model.encode_image(features), model.encode_image(images))


@torch.inference_mode()
@pytest.mark.parametrize(("name", "trained", "channels"), [("resnet18", 2, 256), (LITE, 3, 192)])
def test_maps_of_the_first_parts_pass_the_rest(name, trained, channels):
    model, images = small(name), torch.randn(2, 3, 64, 64)
    encoder = model.image_encoder
    encoder.frozen_parts = count_before(encoder.trunk, trained)
    features = torch.nn.Sequential(*trunk_parts(encoder.trunk)[: encoder.frozen_parts])(images)
    assert features.shape[1] == channels
    torch.testing.assert_close(model.encode_image(features), model.encode_image(images))
    rest = trunk_parts(encoder.trunk)[encoder.frozen_parts :]
    assert sum(any(True for _ in part.parameters()) for part in rest) == trained


@pytest.mark.parametrize(("name", "trained"), [("resnet18", 1), (LITE, 2), (LITE, 4)])
@torch.no_grad()
def test_leaving_locations_out_before_what_sees_each_by_itself_changes_nothing(name, trained):
    encoder, images = small(name, location_dropout=0.5).image_encoder, torch.randn(2, 3, 64, 64)
    encoder.frozen_parts = count_before(encoder.trunk, trained)
    features = torch.nn.Sequential(*trunk_parts(encoder.trunk)[: encoder.frozen_parts])(images)
    encoder.training = True
    found = []
    for pointwise in (0, count_pointwise(encoder.trunk)):
        torch.manual_seed(3)
        encoder.pointwise_parts = pointwise
        found.append(encoder.unprojected_maps(features))
    assert found[0].shape[2:] == (2, 1)
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 0), (LITE, 4), ("timm/mobilenetv3_small_050", 7)]
)
def test_parts_at_the_end_that_see_each_location_by_itself_are_counted(name, count):
    trunk = build_trunk(name, 4)
    assert count_pointwise(trunk) == count
    assert trunk.training


def test_parts_that_do_not_run_in_a_row_are_told():
    with pytest.raises(ValueError, match="does more than to run its parts in a row"):
        count_before(build_trunk("timm/swin_tiny_patch4_window7_224", 4), 1)
    with pytest.raises(ValueError, match="--trained-parts 10: the network has 10 with weights"):
        count_before(build_trunk("resnet18", 4), 10)


def test_the_preset_for_photographs_builds_a_model():
    model_config, config = PRESETS["photos"]
    with torch.device("meta"):
        model = JointEmbedding(model_config)
    assert model.image_encoder.channels == 1280
    assert count_before(build_trunk(LITE, 4), config.trained_parts) == 17
