import json

import pytest
import torch

from misc.checkpoints.__main__ import get_parser, main
from misc.checkpoints.checkpoint import load_model, read_checkpoint, save_checkpoint
from models.config import ModelConfig
from models.joint_embedding import JointEmbedding

MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, pool_k=2, word_dim=8, sru_layers=2
)
TRAINING = {"config": {"word_vectors": "glove"}, "progress": {"epoch": 3}, "optimizer": {"a": 1}}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return JointEmbedding(MINIATURE).eval()


@pytest.fixture
def path(model, tmp_path):
    save_checkpoint(tmp_path / "best.pt", model, TRAINING)
    return tmp_path / "best.pt"


@torch.inference_mode()
def embeddings(model):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    vectors = torch.randn(2, 5, 8, generator=generator)
    return torch.cat(model(images, vectors, torch.tensor([5, 2])))


def changed(path, **changes):
    content = torch.load(path, weights_only=True)
    torch.save(content | changes, path)


def run(*arguments):
    return main(get_parser().parse_args([str(argument) for argument in arguments]))


def test_a_loaded_model_is_the_saved_one(model, path):
    loaded = load_model(path)
    assert loaded.config == MINIATURE
    assert torch.equal(embeddings(loaded), embeddings(model))
    assert not any(module.training for module in loaded.modules())
    assert read_checkpoint(path).training == TRAINING


def test_what_is_trainable_stays_so(model, path):
    trainable = {name: p.requires_grad for name, p in model.named_parameters()}
    assert {name: p.requires_grad for name, p in load_model(path).named_parameters()} == trainable
    assert not all(trainable.values())


def test_a_loaded_model_can_be_trained(path):
    loaded = load_model(path).train()
    before = loaded.image_encoder.projection.weight.clone()
    loaded.encode_image(torch.randn(2, 3, 64, 64)).sum().backward()
    torch.optim.SGD(loaded.parameters(), lr=1.0).step()
    assert not torch.equal(loaded.image_encoder.projection.weight, before)


def test_half_precision_files_become_float32(model, path):
    changed(
        path,
        state_dict={
            k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()
        },
    )
    loaded = load_model(path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(embeddings(loaded), embeddings(model), rtol=0, atol=1e-2)


def test_a_failed_save_leaves_the_old_file(model, path):
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, model, {"unpicklable": lambda: None})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("share", [0, 1e-4, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"best\.pt (is empty|cannot be read as a checkpoint)"):
        load_model(path)


@pytest.mark.parametrize(
    "data", [b"hello\n", b"\x80\x04", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\xff\xd8\xff\xe0", b"{}"]
)
def test_another_file_is_named(tmp_path, data):
    path = tmp_path / "photo.pt"
    path.write_bytes(data * 50)
    with pytest.raises(ValueError, match=r"photo\.pt cannot be read as a checkpoint"):
        load_model(path)


@pytest.mark.parametrize("content", [[1, 2], 3, {}, {"epoch": 1}, {"weight": torch.ones(2)}, None])
def test_a_torch_file_that_is_no_checkpoint_is_named(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is not a checkpoint"):
        load_model(tmp_path / "other.pt")


@pytest.mark.parametrize("settings", [3, [1], None])
def test_settings_of_training_that_are_none_are_named(path, settings):
    changed(path, training={"config": settings})
    with pytest.raises(ValueError, match=r"best\.pt: the settings of training should be a dict"):
        read_checkpoint(path)


def test_a_missing_file_and_a_folder_without_a_checkpoint_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*absent.pt"):
        load_model(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match="model.safetensors.*and config.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "dsve-2"}, "not a checkpoint: neither in this code's format, dsve-1"),
        ({"config": {"backbone": "resnet18"}}, "the model's settings should be .*'stages'"),
        ({"config": vars(MINIATURE) | {"stages": "2"}}, "stages should be of type int: '2'"),
        ({"config": vars(MINIATURE) | {"stages": 9}}, "no model has these settings: .* not 9"),
        ({"config": vars(MINIATURE) | {"word_dim": -1}}, "no model has these settings"),
        # Terabytes, if a model were built before its weights were looked at:
        ({"config": vars(MINIATURE) | {"embedding_dim": 10**6}}, r"wrong shapes: .*\(1000000,"),
        ({"config": vars(MINIATURE) | {"word_dim": 9}}, r"wrong shapes: .*rnn_lst\.0\.weight"),
        ({"config": vars(MINIATURE) | {"sru_layers": 4}}, r"missing keys: .*rnn_lst\.2.* more"),
        ({"config": vars(MINIATURE) | {"sru_layers": 1}}, r"unexpected keys: .*rnn_lst\.1"),
        ({"state_dict": {}}, "no tensors"),
        ({"state_dict": {"a": 3}}, "'a' is not a plain tensor: int"),
        ({"state_dict": {"a": torch.eye(2).to_sparse()}}, "'a' is not a plain tensor"),
        ({"state_dict": {"a": torch.tensor([1, torch.inf])}}, "NaN or infinite: a"),
    ],
)
def test_what_does_not_fit_is_named(path, changes, message):
    changed(path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load_model(path)
    assert "best.pt" in str(error.value)


def test_safetensors_hold_the_same_model(model, path, tmp_path):
    run("convert", path, tmp_path / "folder", "--safetensors")
    files = {file.name for file in (tmp_path / "folder").iterdir()}
    assert files == {"README.md", "model.safetensors", "config.json"}
    for place in (tmp_path / "folder", tmp_path / "folder" / "model.safetensors"):
        assert torch.equal(embeddings(load_model(place)), embeddings(model))
    assert read_checkpoint(tmp_path / "folder").training == {"config": TRAINING["config"]}


def test_broken_safetensors_are_named(path, tmp_path):
    folder = tmp_path / "folder"
    run("convert", path, folder, "--safetensors")
    weights, settings = folder / "model.safetensors", folder / "config.json"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1])
    with pytest.raises(ValueError, match="model.safetensors cannot be read"):
        load_model(folder)
    weights.write_bytes(data)
    settings.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="config.json is not valid JSON"):
        load_model(folder)
    settings.unlink()
    with pytest.raises(FileNotFoundError, match="config.json"):
        load_model(folder)


def test_converted_files_keep_the_settings_of_training_but_not_its_state(model, path, tmp_path):
    run("convert", path, tmp_path / "small.pt")
    checkpoint = read_checkpoint(tmp_path / "small.pt")
    assert checkpoint.training == {"config": TRAINING["config"]}
    assert torch.equal(embeddings(load_model(tmp_path / "small.pt")), embeddings(model))


@pytest.mark.parametrize("options", [[], ["--safetensors"]])
def test_an_existing_file_is_overwritten_only_by_force(path, tmp_path, options):
    run("convert", path, tmp_path / "new", *options)
    with pytest.raises(FileExistsError, match="--force"):
        run("convert", path, tmp_path / "new", *options)
    run("convert", path, tmp_path / "new", *options, "--force")


def test_info_tells_settings_progress_and_sizes(path, capsys):
    run("info", path)
    printed = json.loads(capsys.readouterr().out)
    assert ModelConfig(**printed["config"]) == MINIATURE
    assert printed["training"] == {"config": {"word_vectors": "glove"}, "progress": {"epoch": 3}}
    assert printed["numbers"]["image_encoder.projection"] == 16 * 16 + 16


def test_info_of_a_file_with_impossible_settings_builds_no_model(path, capsys):
    changed(path, config=vars(MINIATURE) | {"stages": 9})
    assert run("info", path)["config"]["stages"] == 9


def test_images_of_reference_go_with_a_model_through_each_of_its_forms(model, tmp_path):
    reference = torch.randn(2, 5, 16).half()
    save_checkpoint(tmp_path / "a.pt", model, TRAINING, reference)
    run("convert", tmp_path / "a.pt", tmp_path / "folder", "--safetensors")
    run("convert", tmp_path / "folder", tmp_path / "b.pt")
    for path in (tmp_path / "a.pt", tmp_path / "folder", tmp_path / "b.pt"):
        found = read_checkpoint(path).reference
        assert found is not None and torch.equal(found, reference)
        assert run("info", path)["reference_images"] == 5
    modes = {file.stat().st_mode for file in (tmp_path / "folder").iterdir()}
    assert len(modes) == 1


def test_a_folder_keeps_no_images_of_reference_of_another_model(path, model, tmp_path):
    save_checkpoint(tmp_path / "a.pt", model, TRAINING, torch.randn(2, 5, 16).half())
    run("convert", tmp_path / "a.pt", tmp_path / "folder", "--safetensors")
    run("convert", path, tmp_path / "folder", "--safetensors", "--force")
    assert read_checkpoint(path).reference is None
    assert read_checkpoint(tmp_path / "folder").reference is None
    assert run("info", path)["reference_images"] == 0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (torch.zeros(2, 5, 8), r"rows of 16 numbers, not \(2, 5, 8\)"),
        (torch.zeros(3, 5, 16), r"2 times rows of 16 numbers, not \(3, 5, 16\)"),
        (torch.zeros(5, 16), r"rows of 16 numbers, not \(5, 16\)"),
        (torch.zeros(2, 0, 16), "rows of 16 numbers"),
        (torch.full((2, 5, 16), float("nan")), "NaN"),
        ([1, 2], "'reference' is not a plain tensor"),
    ],
)
def test_images_of_reference_that_are_none_are_refused(path, reference, message):
    changed(path, reference=reference)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)
