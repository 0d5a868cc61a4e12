"""The model in three parts, as ONNX exporters can follow them, and their files."""

import json
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.onnx import OnnxExporterError, ONNXProgram

from misc.checkpoints.sharing import shareable
from misc.runtime.files import replacing
from models.image_encoder import ImageEncoder
from models.joint_embedding import JointEmbedding
from models.sru import SRUCell
from models.text_encoder import TextEncoder

OPSET = 20


class OnnxImageEncoder(nn.Module):
    """Embeds images, without the checks of sizes, which would make the size a constant."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W), normalised, as unit rows (B, D)."""
        features = self.encoder.pool(self.encoder.unprojected_maps(images))
        return F.normalize(self.encoder.projection(features), dim=1)


class OnnxActivationMaps(nn.Module):
    """Computes the projected maps of images."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Compute the projected maps G' of images (B, 3, H, W): (B, D, h, w)."""
        return self.encoder.activation_maps(images)


class OnnxTextEncoder(nn.Module):
    """Embeds texts; its recurrence becomes ONNX's ``Scan``, over any number of steps.

    Args:
        encoder: of whose SRU layers only the parameters are used.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.layers = encoder.sru.rnn_lst
        self.pool = encoder.pool

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Embed word vectors (B, T, W), valid up to lengths (B,), as unit rows (B, D)."""
        states = vectors.transpose(0, 1)  # (T, B, W)
        for layer in self.layers:
            assert isinstance(layer, SRUCell)
            states = scanned_states(layer, states)
        return F.normalize(self.pool(states.permute(1, 2, 0), lengths), dim=1)


def scanned_states(layer: SRUCell, inputs: Tensor) -> Tensor:
    """Compute an SRU layer's hidden states (T, B, D) from inputs (T, B, W), step by step."""
    products = (inputs @ layer.weight).unflatten(2, (layer.hidden_size, layer.matrices))
    gates = torch.cat([products[..., 1], products[..., 2]], dim=2) + layer.bias  # (T, B, 2 D)
    highway = products[..., 3] if layer.matrices == 4 else inputs
    peephole = layer.weight_c

    def step(cell: Tensor, current: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        candidate, gate = current
        opened = torch.sigmoid(gate + peephole * torch.cat([cell, cell], dim=1))
        forget, reset = opened.chunk(2, dim=1)
        cell = torch.lerp(candidate, cell, forget)
        return cell, (cell.clone(), reset.clone())  # a scan may not return the same tensor twice

    start = torch.zeros_like(products[0, ..., 0])  # (B, D)
    _, (cells, resets) = scan(step, start, (products[..., 0], gates))
    return torch.lerp(highway, cells.tanh(), resets)


def write_onnx(
    module: nn.Module, inputs: dict[str, tuple[Tensor, dict[int, str]]], output: str, path: Path
) -> None:
    """Export a module to one file.

    Args:
        module: to be exported.
        inputs: for each input's name an example, and the names of its dynamic dimensions.
        output: name of the output.
        path: the file; a killed process leaves the old one.

    Raises:
        ValueError: if torch cannot export it; the message names the file, and the reason.
    """
    try:
        program = _exported(module, inputs, output)
    except OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(
            f"{path}: torch {torch.__version__} cannot export this part of the model: {reason}; "
            "other releases of torch and onnxscript may"
        ) from error
    with replacing(path) as temporary:
        program.save(temporary, external_data=False)


def _exported(
    module: nn.Module, inputs: dict[str, tuple[Tensor, dict[int, str]]], output: str
) -> ONNXProgram:
    examples, dimensions = zip(*inputs.values(), strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how the exporter names dimensions
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=dimensions,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


@torch.inference_mode()
def write_onnx_files(model: JointEmbedding, image_size: int, folder: Path) -> list[Path]:
    """Write the three parts of a model and ``model.json``, which describes them.

    The number and size of images, and the number and length of texts, are dynamic.

    Args:
        model: in eval mode.
        image_size: side of the square to which images are squeezed for this model, in pixels.
        folder: where the files go.

    Returns:
        The files.

    Raises:
        ValueError: if ONNX has nothing for the model's pooling, or torch cannot export a part.
    """
    encoder, config = model.image_encoder, model.config
    if "gpo" in (config.image_pooling, config.text_pooling):
        raise ValueError("ONNX files hold no GRU of any length, so no model of gpo pooling")
    # Sizes of examples are above 1 and unequal, so that none is taken for a constant.
    height, width = (encoder.stride * (encoder.pool.k_max + more) for more in (1, 2))
    images = {
        "images": (torch.zeros(2, 3, height, width), {0: "batch", 2: "height", 3: "width"}),
    }
    texts = {
        "vectors": (torch.zeros(2, 3, config.word_dim), {0: "batch", 1: "steps"}),
        "lengths": (torch.tensor([3, 2]), {0: "batch"}),
    }
    parts = {
        "image_encoder": (OnnxImageEncoder(encoder), images, "embeddings"),
        "text_encoder": (OnnxTextEncoder(model.text_encoder), texts, "embeddings"),
        "activation_maps": (OnnxActivationMaps(encoder), images, "maps"),
    }
    for name, (module, inputs, output) in parts.items():
        write_onnx(module, inputs, output, folder / f"{name}.onnx")
    _describe(model, image_size, folder / "model.json")
    return [*(folder / f"{name}.onnx" for name in parts), folder / "model.json"]


def _describe(model: JointEmbedding, image_size: int, path: Path) -> None:
    """Say how images are prepared, and which word vectors, or text encoder, texts need."""
    config, about = model.config, model.about
    training = shareable(about.get("training", {}).get("config", {}))
    description = {
        "image_size": image_size,
        "mean": config.image_mean,
        "standard_deviation": config.image_deviation,
        "embedding_dim": config.embedding_dim,
        "word_dim": config.word_dim,
        "word_vectors": training.get("word_vectors", ""),
        "word_table_sha256": about.get("word_table_sha256", ""),
        "opset": OPSET,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
