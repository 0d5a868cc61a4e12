"""Results, gradients and random numbers of a device against the CPU's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.checks import Check

TOLERANCES = {  # of float32 and bfloat16
    "embeddings": (1e-4, 2e-2),  # largest difference of a component of unit rows
    "heat maps": (1e-3, 5e-2),  # of the largest value
    "loss": (1e-4, 5e-2),  # of the CPU's
    "gradients": (1e-4, 5e-2),  # 1 - cosine of all of them
}
PRECISIONS = ("float32", "bfloat16")


def results(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    """Compare embeddings of images and texts, and heat maps."""
    import torch

    from misc.checkpoints.checkpoint import load_model
    from misc.evaluation.localization import kernel_heat_maps
    from misc.inference.acceleration import accelerate
    from misc.inference.batches import share_alike

    images, vectors, lengths = example_batch(4 if quick else 16, 64 if quick else 256)

    @torch.inference_mode()
    def compute(precision: str, place: Any) -> list[Any]:
        model = accelerate(load_model(path).to(place), precision)
        embedded, maps = model.encode_image_with_maps(images.to(place))
        texts = model.encode_text(vectors.to(place), lengths)
        kernels = model.localization_kernels(texts, 10)
        drawn = [kernel_heat_maps(own[0], kernels) for own in (maps, share_alike(maps, 7.0))]
        return [x.float().cpu() for x in (embedded, texts, *drawn)]

    expected = compute("float32", "cpu")
    for place, precision in enumerate(PRECISIONS):
        found = compute(precision, device)
        for name, one, other in zip(("images", "texts"), found, expected, strict=False):
            error, limit = float((one - other).abs().max()), TOLERANCES["embeddings"][place]
            yield Check(f"embeddings of {name}, {precision}", error, limit)
        for row, name in ((2, "heat maps"), (3, "shared heat maps")):
            error = float((found[row] - expected[row]).abs().max() / expected[row].abs().max())
            yield Check(f"{name}, {precision}", error, TOLERANCES["heat maps"][place])


def example_batch(count: int, size: int, dimension: int = 620) -> tuple[Any, Any, Any]:
    """Make images (B, 3, size, size), word vectors (B, T, W) and lengths (B,)."""
    import torch

    texts = inputs.captions(count)
    words = inputs.word_vectors(texts, dimension)
    vectors, lengths = inputs.padded(words, texts)
    return torch.from_numpy(inputs.pixels(count, size)), vectors, lengths


def gradients(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    """Compare losses and gradients, without dropout, whose random numbers differ by device."""
    from misc.training.location_loss import LocationLoss
    from misc.training.losses import ContrastiveLoss, HardNegativeLoss, SoftmaxLoss

    losses = HardNegativeLoss(), SoftmaxLoss(), ContrastiveLoss(), LocationLoss(SoftmaxLoss())
    for loss in losses:
        value, expected = gradient_of(path, "cpu", loss, quick)
        for place, precision in enumerate(PRECISIONS):
            found, direction = gradient_of(path, device, loss, quick, precision)
            name = f"{type(loss).__name__}, {precision}"
            yield Check(f"loss, {name}", abs(found / value - 1), TOLERANCES["loss"][place])
            error = 1 - float(direction @ expected / direction.norm() / expected.norm())
            yield Check(f"gradients, {name}", error, TOLERANCES["gradients"][place])


def gradient_of(
    path: Path, device: Any, loss: Any, quick: bool, precision: str = "float32"
) -> tuple[float, Any]:
    """Compute a loss, and the gradients of all that trains as one vector on the CPU."""
    import torch

    from misc.training.gradients import add_gradients

    model = trained_model(path, device)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = pair_batch(4 if quick else 16, 64 if quick else 256).to(torch.device(device))
    model.text_encoder.eval()  # whose SRU has a dropout of its own
    value = add_gradients(model, batch, loss, (0,), precision)
    return float(value), flat_gradients(model).double()


def trained_model(path: Path, device: Any) -> Any:
    from misc.checkpoints.checkpoint import load_model
    from misc.config import TrainConfig
    from misc.training.steps import set_trainable

    model = load_model(path).to(device)
    set_trainable(model, TrainConfig(), epoch=TrainConfig().thaw_epoch)
    return model


def pair_batch(count: int, size: int, dimension: int = 620) -> Any:
    import torch

    from misc.data.training_batches import TrainingBatch

    images, vectors, lengths = example_batch(count, size, dimension)
    numbers = torch.arange(count)
    return TrainingBatch(images, numbers, vectors, lengths, numbers, [])


def flat_gradients(model: Any) -> Any:
    import torch

    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat(found).float().cpu()


def random_numbers(path: Path, device: Any, quick: bool) -> Iterator[Check]:
    """Check that a seed sets the device's own generator, and that both passes of chunks agree."""
    import torch

    from misc.runtime.seeds import seed_generators
    from misc.training.gradients import add_gradients
    from misc.training.losses import ContrastiveLoss

    drawn = []
    for _ in range(2):
        seed_generators(device, 1, 2)
        drawn.append(torch.rand(1000, device=device))
    yield Check("random numbers of the same seed", float((drawn[0] - drawn[1]).abs().max()), 0.0)
    batch, loss = pair_batch(6, 128).to(device), ContrastiveLoss()
    chunked, twin = trained_model(path, device), trained_model(path, device)
    add_gradients(chunked, batch, loss, (5,), chunk_size=2)
    embedded = []
    for number, chunk in enumerate(batch.chunks(2)):  # one graph of all, with the same dropout
        seed_generators(device, 5, 0, number)
        embedded.append(twin(chunk.images, chunk.vectors, chunk.lengths))
    loss(*map(torch.cat, zip(*embedded, strict=True)), batch.image_ids).backward()
    found, expected = flat_gradients(chunked), flat_gradients(twin)
    error = float((found - expected).norm() / expected.norm())
    yield Check("gradients of --chunk-size, with dropout", error, 1e-3)
