"""The built-in data set: scenes of everyday things with captions, masks and phrases for regions.

``ensure_toy`` writes it once, in the file formats of COCO, Visual Genome and Karpathy's splits,
so that it is read like any other data root. The things are OpenMoji artwork (openmoji.org, CC
BY-SA 4.0). What a scene shows depends on the seed, its split and its number only.
"""

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from misc.toy.annotations import (
    Picture,
    coco_captions,
    coco_instances,
    karpathy,
    region_descriptions,
    region_images,
)
from misc.toy.glove import building, write_glove
from misc.toy.grammar import captions, kinds, regions
from misc.toy.scenes import SIDE, draw_glyphs, draw_scene

VERSION = 2  # to be raised whenever the files change: sets of other versions are built anew
MARKER = "toy.json"  # written last: a folder without it is not whole


@dataclasses.dataclass(frozen=True)
class SceneCounts:
    """How many scenes each split has."""

    train: int = 3500
    val: int = 300
    test: int = 1000


def _write_json(path: Path, content: dict[str, Any] | list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_pictures(folder: Path, seed: int, counts: SceneCounts) -> Iterator[Picture]:
    """Draw and describe all scenes; yields each once its JPEG files are written."""
    things = kinds()
    glyphs = draw_glyphs(things)
    image_id = 0
    for split_number, (split, count) in enumerate(dataclasses.asdict(counts).items()):
        for number in range(count):
            rng = np.random.default_rng([seed, split_number, number])
            image, scene, labels = draw_scene(rng, things, glyphs)
            image_id += 1
            texts, phrases = captions(rng, scene), regions(rng, scene)
            picture = Picture(split, image_id, scene, texts, phrases, labels)
            jpeg = io.BytesIO()
            image.save(jpeg, "JPEG", quality=92)
            path = folder / "coco" / "images" / picture.folder / picture.file_name
            path.write_bytes(jpeg.getvalue())
            if split == "test":
                name = f"{picture.region_image_id}.jpg"
                path = folder / "visual_genome" / picture.region_folder / name
                path.write_bytes(jpeg.getvalue())
            yield picture


def _build(folder: Path, marker: dict[str, Any], seed: int, counts: SceneCounts) -> None:
    for name in ("coco/images/train2014", "coco/images/val2014"):
        (folder / name).mkdir(parents=True)
    for name in ("visual_genome/VG_100K", "visual_genome/VG_100K_2"):
        (folder / name).mkdir(parents=True)
    write_glove(folder / "word_vectors")
    drawn = _write_pictures(folder, seed, counts)
    total = sum(dataclasses.astuple(counts))
    pictures = list(tqdm(drawn, "drawing the toy set", total, disable=None, unit="scenes"))
    _write_json(folder / "coco" / "dataset.json", karpathy(pictures))
    held_out = [picture for picture in pictures if picture.split != "train"]
    annotations = folder / "coco" / "annotations"
    _write_json(annotations / "captions_val2014.json", coco_captions(held_out))
    _write_json(annotations / "instances_val2014.json", coco_instances(held_out, kinds()))
    tested = [picture for picture in pictures if picture.split == "test"]
    texts = "".join(f"{text}\n" for picture in tested for text in picture.captions)
    (folder / "captions_test.txt").write_text(texts, encoding="utf-8")
    genome = folder / "visual_genome"
    _write_json(genome / "image_data.json", region_images(tested))
    _write_json(genome / "region_descriptions.json", region_descriptions(tested))
    _write_json(folder / MARKER, marker)


def _marker(seed: int, counts: SceneCounts) -> dict[str, Any]:
    return {"version": VERSION, "side": SIDE, "seed": seed, "scenes": dataclasses.asdict(counts)}


def _is_whole(folder: Path, seed: int | None, counts: SceneCounts | None) -> bool:
    """Whether a finished set of this version is there, of this seed and size if they are given."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        wanted = _marker(
            found["seed"] if seed is None else seed, counts or SceneCounts(**found["scenes"])
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    return bool(found == wanted)


def ensure_toy(root: Path, seed: int | None = None, counts: SceneCounts | None = None) -> Path:
    """Return the folder of the toy set, ``root/toy``, which is built if it is not whole.

    It is itself a data root: its scenes are in ``coco``, regions in ``visual_genome``. Without a
    seed and counts any whole set does, and a new one gets seed 0 and the default counts; a set
    that was made with others than those given is replaced.

    Raises:
        OSError: if the root cannot be written to, or is a file.
        ValueError: if the seed or a count is negative.
    """
    folder = Path(root) / "toy"
    if folder.parent.is_file():
        raise NotADirectoryError(f"the data root {root} is a file; give a folder, made if need be")
    if _is_whole(folder, seed, counts):
        return folder
    if min(seed or 0, *dataclasses.astuple(counts or SceneCounts())) < 0:
        raise ValueError(f"seed and counts must not be negative: {seed}, {counts}")
    with building(folder, "the toy set"):
        if _is_whole(folder, seed, counts):  # another process built it meanwhile
            return folder
        partial = folder.with_name(".toy.partial")
        shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
        marker = _marker(seed or 0, counts or SceneCounts())
        _build(partial, marker, seed or 0, counts or SceneCounts())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder
