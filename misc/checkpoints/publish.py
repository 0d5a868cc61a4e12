"""Folders of models that others can use: weights, settings and a model card."""

from collections.abc import Sequence
from pathlib import Path

from misc.checkpoints.checkpoint import build_model, read_checkpoint
from misc.checkpoints.hub import save_folder
from misc.checkpoints.model_card import model_card, read_results
from misc.checkpoints.sharing import shareable
from misc.data.paths import DataPaths, find_word_vectors
from misc.runtime.hub import PREFIX


def publish(
    path: str,
    folder: Path,
    data_root: Path,
    word_vectors: str = "",
    result_files: Sequence[Path] = (),
    license: str = "bsd-3-clause",
    name: str = "",
    force: bool = False,
) -> None:
    """Write a checkpoint as a folder that others can use, with a model card.

    Args:
        path: of the checkpoint, whatever ``read_checkpoint`` takes.
        folder: where ``model.safetensors``, ``config.json`` and ``README.md`` go.
        data_root: folder of the data sets, for word vectors.
        word_vectors: folder of those of training; "" takes what training recorded.
        result_files: what evaluations wrote with ``--json``, for the card.
        license: of the weights, as the hub calls it.
        name: user/name on the hub, if it will be there.
        force: True overwrites what is in the folder.

    Raises:
        FileExistsError: if there is a model already and ``force`` is False.
        FileNotFoundError: if there is no checkpoint, or there are no word vectors or results.
        ValueError: if one of them is not what it should be.
    """
    if (folder / "config.json").exists() and not force:
        raise FileExistsError(f"{folder} has a config.json already; --force overwrites it")
    results = [read_results(file) for file in result_files]
    checkpoint = read_checkpoint(path)
    training = checkpoint.training.get("config", {})
    recorded = training.get("word_vectors", ""), checkpoint.config.word_dim, checkpoint.word_table
    words = find_word_vectors(word_vectors, DataPaths(data_root), *recorded)
    checkpoint.word_table = words.fingerprint()
    checkpoint.training = {"config": shareable(training)} if training else {}
    model = build_model(checkpoint, path)
    source = f"{PREFIX}{name}" if name else folder.name
    card = model_card(model, source, license, results)
    save_folder(folder, model, card, checkpoint.reference)
