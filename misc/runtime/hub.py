"""Folders on the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError, RevisionResolutionError  # type: ignore[attr-defined]

HUB_ERRORS = (OSError, HTTPError, RevisionResolutionError)
PREFIX = "hf://"


def local_path(path: Path | str, files: Sequence[str], online: bool = True) -> Path:
    """Give the folder of ``hf://user/name[@revision]``, downloaded; any other path as it is.

    Args:
        path: a folder of the hub, or of this machine.
        files: patterns of the names that are read; nothing else is downloaded.
        online: False takes what was downloaded before, and asks nobody.

    Raises:
        OSError: if it cannot be downloaded, and was not before.
        ValueError: if no model can be called so.
    """
    if not str(path).startswith(PREFIX):
        return Path(path)
    name, _, revision = str(path).removeprefix(PREFIX).partition("@")
    if name.count("/") != 1:
        raise ValueError(f"{path}: a model on the hub is {PREFIX}user/name or with @revision")
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision or None,
                allow_patterns=list(files),
                local_files_only=not online,
            )
        )
    except HUB_ERRORS as error:
        failed = "cannot be downloaded" if online else "was not downloaded to this machine yet"
        raise OSError(f"{path} {failed}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Say what the hub's libraries say, of which they make many lines, in one."""
    return " ".join(str(error).split())
