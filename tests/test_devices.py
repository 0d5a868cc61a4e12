"""Everything that runs on a GPU runs on one that is pretended: no devices are mixed."""

import dataclasses
from pathlib import Path

import pytest
import torch

import eval_retrieval
import image_features_extraction
import pointing_game
import semantic_seg
import text_features_extraction
from misc.config import TrainConfig
from misc.features import load_embeddings
from misc.training.location_loss import LocationLoss
from misc.training.losses import ContrastiveLoss, HardNegativeLoss, SoftmaxLoss
from misc.training.runs import Progress, Run, moving_average, new_optimizer
from misc.training.steps import set_trainable, train_step
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding
from tests.pretend_cuda import CUDA, MixedDevicesError, PretendTensor, pretend_cuda
from tests.scripts.conftest import checkpoint  # noqa: F401
from tests.training.small_batches import pairs, phrased
from tests.training.small_runs import run_train, weights

CPU = torch.device("cpu")
MODEL = ModelConfig("resnet18", 2, 16, 2, 0.0, 5, 2, 0.0)
TRAINING = TrainConfig(text_from=0, image_from=0, first_trained_stage=0)
WAITS = 5  # for the device in a step: may become fewer, never more


def test_mixing_is_refused_as_on_a_gpu():
    here = torch.ones(3)
    with pretend_cuda() as mode:
        there = here.to("cuda")
        assert isinstance(there, PretendTensor)
        assert there.device == CUDA
        assert torch.arange(3, device="cuda").is_cuda
        for mixed in (
            lambda: here + there,
            lambda: there.add_(here),
            lambda: here[torch.arange(3, device="cuda")],
            lambda: torch.cat([here, there]),
        ):
            with pytest.raises(MixedDevicesError, match="cpu"):
                mixed()
        assert mode.waits == []
        assert (there + torch.tensor(1.0))[torch.arange(2)].tolist() == [2, 2]
        assert there.sum().item() == 3
        assert there[there > 0].shape == (3,)
        assert mode.waits == ["aten::_to_copy", "aten::_local_scalar_dense", "aten::index"]


def twin_steps(device, loss, **changes):
    """Train a small model for two steps: losses, weights, waits per step."""
    model_changes = {name: changes.pop(name) for name in [*changes] if hasattr(MODEL, name)}
    config = dataclasses.replace(TRAINING, **changes)
    torch.manual_seed(0)
    model = JointEmbedding(dataclasses.replace(MODEL, **model_changes))
    batch = phrased(3, 1, 4, 2) if isinstance(loss, LocationLoss) else pairs(8)
    if config.cache_features:
        batch.images = torch.rand(8, model.image_encoder.channels, 4, 4).half()
    model.to(device).to(memory_format=torch.channels_last)
    set_trainable(model, config, epoch=0)
    average = moving_average(model, config.ema) if config.ema else None
    run = Run(Path(), config, model, new_optimizer(model, config), Progress(), average=average)
    losses = [train_step(run, model, batch.to(device), loss)[0] for _ in range(2)]
    return losses, {name: value.cpu() for name, value in run.measured.state_dict().items()}


@pytest.mark.parametrize("chunk_size", [0, 3])
@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        (HardNegativeLoss(), {}),
        (HardNegativeLoss(num_negatives=3), {"clip_norm": 1.0, "ema": 0.99}),
        (SoftmaxLoss(), {}),
        (SoftmaxLoss(joint=True), {"location_dropout": 0.2}),
        (LocationLoss(SoftmaxLoss(), SoftmaxLoss()), {}),
        (LocationLoss(SoftmaxLoss()), {"location_dropout": 0.5}),
        (ContrastiveLoss(), {"sru_layers": 1}),
        (ContrastiveLoss(), {"image_pooling": "gpo", "text_pooling": "gpo"}),
        (SoftmaxLoss(), {"image_pooling": "max", "text_pooling": "max"}),
        (SoftmaxLoss(), {"cache_features": True, "finetune_epoch": 9}),
    ],
)
def test_training_steps_are_those_of_the_cpu(loss, changes, chunk_size):
    losses, weights = twin_steps(CPU, loss, chunk_size=chunk_size, **changes)
    with pretend_cuda():
        found_losses, found = twin_steps(CUDA, loss, chunk_size=chunk_size, **changes)
    assert found_losses == pytest.approx(losses, rel=1e-5)
    for name, expected in weights.items():
        if name.endswith("score.bias"):
            continue  # a softmax knows no shift: its gradient is rounding, which Adam scales up
        # Their mean: where a gradient is nearly 0, Adam makes a step of its rounding.
        assert (found[name].double() - expected).abs().mean() < 1e-5, name


def test_a_step_waits_for_the_device_no_more_often_than_it_did():
    with pretend_cuda() as mode:
        model = JointEmbedding(MODEL).to(CUDA)
        set_trainable(model, TRAINING, epoch=0)
        run = Run(Path(), TRAINING, model, new_optimizer(model, TRAINING), Progress())
        batch = pairs(8).to(CUDA)
        train_step(run, model, batch, HardNegativeLoss())
        mode.waits.clear()
        train_step(run, model, batch, HardNegativeLoss())
        assert len(mode.waits) <= WAITS, mode.waits


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (eval_retrieval, "--dataset toy"),
        (pointing_game, "--dataset toy -k 5 --affinity 7"),
        (semantic_seg, "--dataset toy -k 5 --limit 8 --affinity 7"),
    ],
)
def test_evaluations_are_those_of_the_cpu(script, options, checkpoint, toy_root):  # noqa: F811
    command = f"-p {checkpoint} --data-root {toy_root} --workers 0 --image-size 48 {options}"

    def evaluate(device):
        return script.main(script.get_parser().parse_args([*command.split(), "--device", device]))

    expected = evaluate("cpu")
    with pretend_cuda():
        found = evaluate("cuda")
    assert found.keys() == expected.keys()
    numbers = {name: value for name, value in expected.items() if isinstance(value, float)}
    assert numbers
    assert {name: found[name] for name in numbers} == pytest.approx(numbers, abs=1e-4, nan_ok=True)


def test_extracted_embeddings_are_those_of_the_cpu(checkpoint, toy_root, tmp_path):  # noqa: F811
    (tmp_path / "texts.txt").write_text("a dog\na red car next to a cat\n", encoding="utf-8")
    photographs = toy_root / "toy" / "coco" / "images" / "val2014"
    for script, data, options in (
        (image_features_extraction, photographs, ["--image-size", "48"]),
        (text_features_extraction, tmp_path / "texts.txt", []),
    ):
        found = {}
        for device in ("cpu", "cuda"):
            output = tmp_path / f"{script.__name__}.{device}.npz"
            command = ["-p", checkpoint, "-d", data, "-o", output, "--workers", 0, *options]
            command += ["--data-root", toy_root, "--device", device]
            with pretend_cuda():
                script.main(script.get_parser().parse_args(list(map(str, command))))
            found[device] = load_embeddings(output)
        assert found["cuda"][0] == found["cpu"][0]
        torch.testing.assert_close(found["cuda"][1], found["cpu"][1], rtol=0, atol=1e-5)


def test_a_run_is_resumed_as_on_the_cpu(toy_root, tmp_path):
    options = "--max-batches 2 --warmup-epochs 1 --ema 0.9"
    run_train(toy_root, tmp_path, f"-n whole {options} --epochs 2")
    with pretend_cuda():
        run_train(toy_root, tmp_path, f"-n parts {options} --epochs 1 --device cuda")
        run_train(toy_root, tmp_path, f"-n parts {options} --resume --epochs 2 --device cuda")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4)
