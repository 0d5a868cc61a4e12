"""What the benchmarks work on: models of random weights, photographs, captions."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from misc.config import TrainConfig
from models.config import ModelConfig

VOCABULARY = 10_000
# How many of 4,000 captions of COCO val2017 have 8, 9, … words.
CAPTION_LENGTHS = (201, 697, 850, 769, 580, 337, 227, 122, 74, 44, 29, 21, 19, 4, 3, 3, 4, 16)
SHORTEST = 8


# A small network all of which trains, in bfloat16, on small images.
SMALL_MODEL = ModelConfig(
    "resnet18", 3, 256, 12, 0.0, word_dim=50, sru_layers=2, text_dropout=0.0, input_size=128
)
SMALL_TRAINING = TrainConfig(
    batch_size=64,
    crop_size=112,
    text_from=0,
    image_from=0,
    first_trained_stage=0,
    precision="bfloat16",
)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        yield Path(name)


def model_config(quick: bool, **changes: Any) -> ModelConfig:
    """Return the published model, or one that is quick to run."""
    config = ModelConfig("resnet18", 4, 256, 4, sru_layers=2) if quick else ModelConfig()
    return dataclasses.replace(config, **changes)


def save_model(folder: Path, config: ModelConfig) -> Path:
    """Save a model of random weights; its batch norms have the statistics of random images.

    Residual branches add little to their input, as in trained networks: rounding does not grow.
    """
    import torch

    from misc.checkpoints.checkpoint import save_checkpoint
    from models.joint_embedding import JointEmbedding

    torch.manual_seed(0)
    model = JointEmbedding(config)
    last = "bn2" if config.backbone in ("resnet18", "resnet34") else "bn3"  # of a branch
    for name, module in model.image_encoder.trunk.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches: here, of one
        if name.endswith(last):
            torch.nn.init.constant_(module.weight, 0.25)
    with torch.no_grad():
        model.image_encoder.trunk(torch.from_numpy(pixels(8, 128)))
    save_checkpoint(folder / "model.pt", model.eval(), {})
    return folder / "model.pt"


def pixels(count: int, size: int) -> Any:
    """Draw images (count, 3, size, size) as an array; coarse, so that they differ."""
    import numpy as np

    generator = np.random.default_rng(1)
    coarse = generator.standard_normal((count, 3, 8, 8)).repeat(size // 8, 2).repeat(size // 8, 3)
    return (coarse + 0.3 * generator.standard_normal(coarse.shape)).astype(np.float32)


def photographs(folder: Path, count: int) -> list[Path]:
    """Draw JPEG files of COCO's usual size and about its number of bytes."""
    import numpy as np
    from PIL import Image

    generator, paths = np.random.default_rng(2), []
    for number in range(count):
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC))
        noisy = np.clip(image + generator.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:03}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=85)
    return paths


def captions(count: int, file: Path | None = None) -> list[str]:
    """Read the first lines of a file; without one, make captions as long as COCO's.

    Raises:
        ValueError: if the file has too few lines.
    """
    import numpy as np

    if file:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(lines) < count:
            raise ValueError(f"{file} has {len(lines)} captions, and {count} are needed")
        return lines[:count]
    generator = np.random.default_rng(3)
    shares = np.array(CAPTION_LENGTHS) / sum(CAPTION_LENGTHS)
    lengths = SHORTEST + generator.choice(len(shares), count, p=shares)
    frequencies = 1 / np.arange(10, VOCABULARY + 10)
    frequencies /= frequencies.sum()
    words = np.array([word(number) for number in range(VOCABULARY)])
    return [  # the full stop is a word too
        " ".join(words[generator.choice(VOCABULARY, length - 1, p=frequencies)]) + "."
        for length in lengths
    ]


def word(number: int) -> str:
    """Make the word of a number; no two are alike."""
    letters = ""
    while number or not letters:
        number, letter = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[letter] + "aeiou"[letter % 5]
    return letters


def padded(words: Any, texts: Sequence[str]) -> tuple[Any, Any]:
    """Look up the words of texts: vectors (B, T, W) and lengths (B,)."""
    from misc.words.token_vectors import pad_texts

    return pad_texts([text.vectors for text in words.vectors_of(texts)])


def word_vectors(texts: Sequence[str], dimension: int) -> Any:
    """Make ``WordVectors`` of random numbers that know the words of texts."""
    import numpy as np

    from misc.words.tokens import tokenize
    from misc.words.word_vectors import UNKNOWN, WordVectors

    words = sorted({token for text in texts for token in tokenize(text)} | {UNKNOWN})
    table = np.random.default_rng(4).standard_normal((len(words), dimension)).astype(np.float32)
    return WordVectors(words, table)
