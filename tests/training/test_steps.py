from misc.config import TrainConfig
from misc.training.steps import set_trainable
from models.backbones import count_before
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.models.backbones import LITE, small


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


def trainable(epoch, **settings):
    model = JointEmbedding(ModelConfig("resnet18", 4, 8, 1, word_dim=4, sru_layers=1))
    set_trainable(model, TrainConfig(**settings), epoch)
    return model, {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_paper_trains_the_affine_then_the_text_then_the_late_stages():
    affine = {"image_encoder.projection.weight", "image_encoder.projection.bias"}
    for epoch in (0, 1):
        assert trainable(epoch)[1] == affine
    for epoch in (2, 8):
        names = trainable(epoch)[1] - affine
        assert names
        assert all(name.startswith("text_encoder") for name in names)
        assert "text_encoder.sru.rnn_lst.0.weight_c" in names
    names = trainable(9)[1]
    assert {name.split(".")[2] for name in names if ".trunk." in name} == {"6", "7"}
    assert "image_encoder.convolution.weight" in names


def test_batch_norms_of_frozen_layers_keep_their_statistics_unless_asked():
    for mode, frozen_trains in (("frozen", False), ("train", True)):
        model, _ = trainable(9, batch_norm=mode)
        assert model.image_encoder.trunk[4].training is frozen_trains
        assert model.image_encoder.trunk[6].training


def test_the_last_parts_thaw_and_their_batch_norms_keep_their_statistics():
    model = small(LITE)
    encoder = model.image_encoder
    encoder.frozen_parts = count_before(encoder.trunk, 2)
    config = TrainConfig(image_from=0, finetune_epoch=1, trained_parts=2)
    for epoch, trains in ((0, False), (1, True)):
        set_trainable(model, config, epoch)
        network = encoder.trunk.network
        assert network.conv_head.weight.requires_grad is trains
        assert network.bn2.weight.requires_grad is trains
        assert not any(weight.requires_grad for weight in network.blocks.parameters())
        assert not network.bn2.training and encoder.dropout.training


def test_everything_trains_in_the_toy_preset():
    model, names = trainable(0, text_from=0, image_from=0, first_trained_stage=0)
    assert names == {name for name, _ in model.named_parameters()}
