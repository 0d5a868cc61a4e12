"""What is there under a data root, and what is missing."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from misc.data import sources
from misc.data.holdings import Found, Holding, look_at_captions, look_at_coco
from misc.data.paths import DataPaths
from misc.data.referring import SPLIT_BY
from misc.data.region_holdings import look_at_entities, look_at_referring, look_at_visual_genome
from misc.runtime.failures import Failure, read_item
from misc.words.encoder_files import is_encoder
from misc.words.word_vectors import WordVectors

WORDS = "word vectors"


@dataclasses.dataclass
class Inventory:
    """What is there under a data root, and what is missing or cannot be read, by data set."""

    holdings: list[Holding]
    word_vectors: str  # which are there; "" if none
    missing: list[tuple[str, str]]


def take_inventory(root: Path) -> Inventory:
    """Look at all data sets under a data root, photographs by the names of their files alone."""
    looks: dict[str, Callable[[DataPaths], Found]] = {
        "coco": look_at_coco, "flickr8k": look_at_captions, "flickr30k": look_at_captions,
        "flickr30k_entities": look_at_entities, **dict.fromkeys(SPLIT_BY, look_at_referring),
        "visual_genome": look_at_visual_genome, "toy": _look_at_toy,
    }  # fmt: skip
    inventory = Inventory([], "", [])
    for index, (name, look) in enumerate(looks.items()):
        found = read_item(index, "", functools.partial(look, DataPaths(root, name)))
        if isinstance(found, Failure):
            inventory.missing.append((name, found.reason))
        else:
            inventory.holdings += found[0]
            inventory.missing += [(name, text) for text in found[1]]
    words = read_item(0, "", functools.partial(_look_at_words, DataPaths(root).word_vectors))
    if isinstance(words, Failure):
        inventory.missing.append((WORDS, words.reason))
    elif words:
        inventory.word_vectors = words
    else:
        inventory.missing.append((WORDS, sources.WORD_VECTORS))
    return inventory


def _look_at_toy(paths: DataPaths) -> Found:
    """Count the toy set, a data root of its own."""
    root = paths.root / "toy"
    if not (root / "toy.json").exists():
        return [], [sources.TOY]
    there, missing = look_at_coco(DataPaths(root))
    regions, more = look_at_visual_genome(DataPaths(root, "visual_genome"))
    holdings = [dataclasses.replace(holding, dataset="toy") for holding in there]
    holdings += [dataclasses.replace(one, dataset="toy", split="regions") for one in regions]
    return holdings, missing + more


def _look_at_words(folder: Path) -> str:
    if is_encoder(str(folder)):
        return "a pretrained text encoder"
    if not any((folder / name).exists() for name in ("dictionary.txt", "utable.npy")):
        return ""
    vectors = WordVectors.load(folder)
    return f"{len(vectors.index):,} words of {vectors.dimension} dimensions"
