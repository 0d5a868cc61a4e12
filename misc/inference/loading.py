"""A checkpoint's model together with the word vectors that it needs."""

from pathlib import Path

import torch

from misc.checkpoints.checkpoint import Checkpoint, build_model, read_checkpoint
from misc.data.paths import DataPaths, find_word_vectors
from misc.words.token_vectors import TokenVectors
from models.joint_embedding import JointEmbedding


def load_with_words(
    path: Path | str, device: torch.device, paths: DataPaths, chosen_word_vectors: str = ""
) -> tuple[JointEmbedding, TokenVectors]:
    """Load the model of a checkpoint and the word vectors that it can be used with.

    Args:
        path: the checkpoint.
        device: where the model goes, and a text encoder, if it has one.
        paths: of the data set at hand, for its word vectors.
        chosen_word_vectors: others that go before them, as for ``find_word_vectors``; "" if the
            user chose none.

    Raises:
        FileNotFoundError: if there is no checkpoint, or there are no word vectors.
        ValueError: if the file is no checkpoint, or the word vectors have the wrong dimension.
    """
    checkpoint = read_checkpoint(path)
    return build_with_words(checkpoint, path, device, paths, chosen_word_vectors)


def build_with_words(
    checkpoint: Checkpoint,
    path: Path | str,
    device: torch.device,
    paths: DataPaths,
    chosen_word_vectors: str = "",
) -> tuple[JointEmbedding, TokenVectors]:
    """Do what ``load_with_words`` does with a checkpoint that was read from ``path``."""
    recorded = checkpoint.training.get("config", {}).get("word_vectors", "")
    word_vectors = find_word_vectors(
        chosen_word_vectors,
        paths,
        recorded,
        checkpoint.config.word_dim,
        checkpoint.word_table,
        device,
    )
    return build_model(checkpoint, path).to(device), word_vectors
