"""Reader of referring expressions: RefCOCO, RefCOCO+ and RefCOCOg, as ``refer`` lays them out.

``refs(unc).p``, or the same list as JSON, has refs: a thing that is annotated in a photograph of
COCO's train2014, the split, and sentences that tell it from all else in there. ``instances.json``
beside it has the boxes and the sizes of the photographs, in pixels. A sentence is read as ``sent``
has it, in lower case and without punctuation; ``raw`` is what was typed.
"""

import collections
import functools
import logging
import operator
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from misc.data.coco_things import Size, read_box, read_size
from misc.data.entries import decoded, leave_out, read_entries, read_id
from misc.data.json_files import stream_json
from misc.data.paths import DataPaths
from misc.data.pickles import read_pickle
from misc.data.region_images import Questions, RegionImage
from misc.runtime.failures import Failure

# Of each data set, those who split it, the first preferred.
SPLIT_BY = {"refcoco": ("unc", "google"), "refcoco+": ("unc",), "refcocog": ("umd", "google")}
SPLITS = ("train", "val", "test", "testA", "testB")
INSTANCES = "instances.json"

logger = logging.getLogger(__name__)


class Ref(NamedTuple):
    """A thing, and the sentences that refer to it."""

    name: str  # its id, as messages have it
    image_id: int
    annotation: int  # its id in the instances
    sentences: dict[int, str]  # by id


class _Thing(NamedTuple):
    size: Size  # of its photograph
    box: list[float]
    sentences: dict[int, str]


def read_referring(
    paths: DataPaths, dataset: str, split: str, left_out: list[Failure] | None = None
) -> Questions:
    """Read the sentences of a split, each a phrase with the box of its thing, by photograph.

    The id of a phrase is that of its sentence.

    Args:
        paths: where the files are; ``own_images`` is the folder of COCO's photographs, if given.
        dataset: a key of ``SPLIT_BY``.
        split: of the first of its files that has it.
        left_out: gets the refs and sentences that cannot be used, which are logged in any case.

    Raises:
        FileNotFoundError: if the refs or the instances are missing, or a folder that was given.
        ValueError: if a file is broken, no file has the split, or nothing in it can be used.
    """
    folder = paths.referring(dataset)
    instances = paths.existing(folder / INSTANCES)
    photographs = paths.photographs()
    files = refs_files(folder, dataset) or [paths.existing(folder / _names(dataset)[0])]
    file, refs, failures = _refs_of(files, split)
    images: dict[int, list[_Thing]] = collections.defaultdict(list)
    read = functools.partial(_read_thing, *_find_entries(instances, refs, failures))
    name = operator.attrgetter("name")
    for image_id, thing in read_entries(refs, f"{file.name}, ref", read, failures, name):
        images[image_id].append(thing)
    leave_out(failures, left_out, logger)
    asked = [
        _region_image(image_id, photographs.by_id(image_id), things)
        for image_id, things in images.items()
    ]
    if not asked:
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{file} has no sentence of {split} whose thing has a box{reason}")
    return Questions(asked, source=f"{file.name}, {split}")


def _names(dataset: str) -> list[str]:
    return [f"refs({by}){suffix}" for by in SPLIT_BY[dataset] for suffix in (".p", ".json")]


def refs_files(folder: Path, dataset: str) -> list[Path]:
    """List the files of refs that are in the folder of a data set."""
    return [folder / name for name in _names(dataset) if (folder / name).exists()]


def _refs_of(files: Iterable[Path], split: str) -> tuple[Path, list[Ref], list[Failure]]:
    """Read the refs of a split from the first file that has it."""
    others = []
    for file in files:
        failures: list[Failure] = []
        refs = read_refs(file, [split], failures)
        if split in refs:
            return file, refs[split], failures
        found = ", ".join(one for one in SPLITS if one in refs) or "no refs"
        others.append(f"{file}, which has {found}")
    raise ValueError(f"there is no split {split} in {'; nor in '.join(others)}")


def read_refs(file: Path, chosen: Collection[str], failures: list[Failure]) -> dict[str, list[Ref]]:
    """Read the refs of some splits.

    Args:
        file: of refs, a pickle or JSON.
        chosen: the splits.
        failures: gets the refs whose split is unknown, and the refs and sentences of these splits
            that cannot be used.

    Returns:
        By split, all that the file has, empty for those that were not chosen.

    Raises:
        ValueError: if the file is broken, or no list.
    """
    refs: dict[str, list[Ref]] = {}
    seen: set[int] = set()

    def read(entry: dict[str, Any]) -> None:
        split = entry["split"]
        if split not in SPLITS:
            raise ValueError(f"{split!r:.80} is none of the splits {', '.join(SPLITS)}")
        of_split = refs.setdefault(split, [])
        if split in chosen:
            ref = _read_ref(file.name, seen, failures, entry)
            of_split += [ref] if ref.sentences else []

    for _ in read_entries(_listed(file), f"{file.name}, ref", read, failures, _name):
        pass
    return refs


def _listed(file: Path) -> Iterable[Any]:
    if file.suffix == ".json":
        return stream_json(file, "item")
    refs = read_pickle(file)
    if not isinstance(refs, list):
        raise ValueError(f"{file} is no list of refs, but a {type(refs).__name__}")
    return refs


def _name(entry: object, key: str = "ref_id") -> str:
    found = entry.get(key) if isinstance(entry, dict) else None
    return f"{found!r:.80}" if isinstance(found, int | str) else "without an id"


def _read_ref(file: str, seen: set[int], failures: list[Failure], entry: dict[str, Any]) -> Ref:
    name, sentences = _name(entry), entry["sentences"]
    image_id, annotation = read_id(entry["image_id"]), read_id(entry["ann_id"])
    if not isinstance(sentences, list) or not sentences:
        raise ValueError("it has no list of sentences")
    read, label = functools.partial(_read_sentence, seen), functools.partial(_name, key="sent_id")
    texts = read_entries(sentences, f"{file}, ref {name}, sentence", read, failures, label)
    return Ref(name, image_id, annotation, dict(texts))


def _read_sentence(seen: set[int], entry: dict[str, Any]) -> tuple[int, str]:
    number, text = read_id(entry["sent_id"]), entry["sent"]
    if number in seen:
        raise ValueError("it is listed before")
    if not isinstance(text, str):
        raise ValueError(f"a sentence is a text, not {text!r:.80}")
    if not decoded(text).strip():
        raise ValueError("it is blank")
    seen.add(number)
    return number, text


Entries = dict[int, dict[str, Any]]  # of the instances, by id


def _find_entries(file: Path, refs: list[Ref], failures: list[Failure]) -> tuple[Entries, Entries]:
    """Find the photographs and the annotations of refs; what is in them is not looked at."""
    find = functools.partial(_find, file, failures)
    images = find("image", ("width", "height"), {ref.image_id for ref in refs})
    return images, find("annotation", ("image_id", "bbox"), {ref.annotation for ref in refs})


def _find(
    file: Path, failures: list[Failure], what: str, keys: Collection[str], wanted: set[int]
) -> Entries:
    found: Entries = {}

    def read(entry: dict[str, Any]) -> None:
        number = int(entry["id"])
        if number in wanted:
            kept = {key: entry[key] for key in keys if key in entry}
            if found.setdefault(number, kept) != kept:
                raise ValueError("it is listed before, and otherwise")

    label = functools.partial(_name, key="id")
    entries = stream_json(file, f"{what}s.item")
    for _ in read_entries(entries, f"{file.name}, {what}", read, failures, label):
        pass
    return found


def _read_thing(images: Entries, annotations: Entries, ref: Ref) -> tuple[int, _Thing]:
    if ref.annotation not in annotations:
        raise ValueError(f"{INSTANCES} has no annotation {ref.annotation}")
    if ref.image_id not in images:
        raise ValueError(f"{INSTANCES} has no image {ref.image_id}")
    annotation, size = annotations[ref.annotation], read_size(images[ref.image_id])
    if int(annotation["image_id"]) != ref.image_id:
        raise ValueError(
            f"annotation {ref.annotation} is of image {annotation['image_id']}, not {ref.image_id}"
        )
    return ref.image_id, _Thing(size, read_box(annotation, size), ref.sentences)


def _region_image(image_id: int, path: Path | None, things: list[_Thing]) -> RegionImage:
    sentences = [(*sentence, thing.box) for thing in things for sentence in thing.sentences.items()]
    ids, texts, boxes = zip(*sentences, strict=True)
    return RegionImage(
        image_id, path, things[0].size, ids, texts, torch.tensor(boxes), torch.arange(len(boxes))
    )
