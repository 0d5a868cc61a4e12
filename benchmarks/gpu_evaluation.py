"""Embedding photographs at 400 x 400 pixels on a device: ways to do it, held against each other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.checks import Check
from benchmarks.gpu_use import flops_of, use, use_planes

# Precision, channels last, and whether kernels are started all in one go.
EVALUATIONS = (
    ("float32", False, False),
    ("float32", True, False),
    ("bfloat16", False, False),
    ("bfloat16", True, False),
    ("bfloat16", True, True),
)
# Most that a cosine is less than 1; random weights round worse than trained ones.
COSINES = {"float32": 1e-5, "bfloat16": 5e-3}
BATCHES = 30


def evaluation(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    """Time what ``eval_retrieval.py`` does with images; the first way is the one to agree with."""
    import torch

    size, batch_size, batches = (64, 4, 3) if quick else (400, 64, BATCHES)
    example = torch.from_numpy(inputs.pixels(batch_size, size)).to(device)
    expected = None
    for precision, channels_last, graph in EVALUATIONS:
        if device.type == "cpu" and (graph or not channels_last):
            continue  # its fused convolutions know no other layout
        name = precision + ", channels last" * channels_last + ", CUDA graph" * graph
        encode = encoder(path, device, precision, channels_last)
        encode = graphed(encode, example) if graph else encode
        found = encode(example).float()
        expected = found if expected is None else expected
        error = 1 - float((found * expected).sum(dim=1).min())
        yield Check(f"embedding {size}², {name}: cosine", error, COSINES[precision])
        flops = embedding_flops(path, device, example)
        loader = photographs(path.parent, device, batch_size, batches + 1, size)
        step = stepping(encode, device)
        yield from use(f"embedding {size}², {name}", step, loader, device, precision, flops)


def encoder(path: Path, device: Any, precision: str, channels_last: bool) -> Callable[[Any], Any]:
    """Make what embeds a batch of images, (B, 3, H, W), on the device."""
    import torch

    from misc.checkpoints.checkpoint import load_model
    from misc.inference.acceleration import accelerate

    model = accelerate(load_model(path).to(device), precision)
    if not channels_last:
        use_planes(model.image_encoder.trunk)
    return torch.inference_mode()(model.encode_image)


def graphed(encode: Callable[[Any], Any], example: Any) -> Callable[[Any], Any]:
    """Record the kernels of a batch, and start all of them at once for each further one."""
    import torch

    images = example.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        encode(images)  # memory is taken, kernels are chosen
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        embeddings = encode(images)

    def replay(batch: Any) -> Any:
        images.copy_(batch)
        graph.replay()
        return embeddings

    return replay


def embedding_flops(path: Path, device: Any, example: Any) -> int:
    import torch

    from misc.checkpoints.checkpoint import load_model

    encode = torch.inference_mode()(load_model(path).to(device).encode_image)
    return flops_of(encode, example)


def stepping(encode: Callable[[Any], Any], device: Any) -> Callable[[Any], Any]:
    return lambda batch: encode(batch.images.to(device, non_blocking=True)).cpu()


def photographs(folder: Path, device: Any, batch_size: int, batches: int, size: int) -> Any:
    """Load batches of photographs, as the scripts do."""
    from misc.data.images import image_loader
    from misc.data.transforms import evaluation_transform
    from models.config import ModelConfig

    files = sorted(folder.glob("*.jpg")) or inputs.photographs(folder, 64)
    paths = [files[n % len(files)] for n in range(batches * batch_size)]
    transform = evaluation_transform(size, ModelConfig().image_statistics)
    return image_loader(paths, transform, batch_size, 0 if device.type == "cpu" else 8, device)
