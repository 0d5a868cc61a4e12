"""What a checkpoint tells others of its training: no path of a user's machine."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from misc.config import TrainConfig
from misc.runtime.hub import PREFIX

PRIVATE = {"captions", "images"}  # files and folders of the user
NAMES = ("package:", PREFIX)  # of what anyone can have
FOLDERS = {"word_vectors": ("", "glove"), "image_weights": ("imagenet", "none")}  # or paths


def shareable(training: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the settings of training that anyone may see; of a path, only what it is of.

    Args:
        training: the settings, by the names of ``TrainConfig``; others are dropped.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)} - PRIVATE
    kept = {name: value for name, value in training.items() if name in known}
    for name, public in FOLDERS.items():
        value = str(kept.get(name, ""))
        if value not in public and not value.startswith(NAMES) and name in kept:
            kept[name] = name
    return kept
