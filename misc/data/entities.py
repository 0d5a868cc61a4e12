"""Reader of Flickr30k Entities: the phrases of captions, and the boxes of what they name.

Each photograph has five sentences in ``Sentences/ID.txt``, in which phrases are bracketed with the
entity that they name and its types, ``[/EN#18/people A child]``, and the boxes of these entities in
``Annotations/ID.xml``, in pixels of the original photograph, whose size is there, too.
"""

import collections
import functools
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import torch

from misc.data.coco_things import Size, read_size
from misc.data.entries import leave_out, read_entries, read_id
from misc.data.flickr import LISTS
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs
from misc.data.region_images import Questions, RegionImage
from misc.runtime.failures import Failure

TYPES = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other")
NOT_VISUAL = "notvisual"  # the type of phrases such as "the background", of the entity 0
NOT_ASKED = ("not_visual", "scenes_without_box", "others_without_box")
BRACKETS = re.compile(r"\[[^\]]*\]?|\]")
PHRASE = re.compile(r"\[/EN#(\d+)((?:/\w+)+)\s([^\]]*)\]")

logger = logging.getLogger(__name__)


class _Annotations(NamedTuple):
    """What the XML of a photograph says."""

    size: Size
    boxes: dict[int, list[list[float]]]  # by entity; none if it has no box
    scenes: set[int]  # entities without a box that are the scene


def read_entities(paths: DataPaths, split: str, left_out: list[Failure] | None = None) -> Questions:
    """Read the phrases of a split whose entities have boxes, in the order of its list.

    The id of a phrase is made of that of its photograph, the number of its sentence and its own
    number there: 10002682010203 is the third phrase in sentence 2 of 1000268201, all from 1.

    Args:
        paths: where the files are; ``own_images`` is the folder of the photographs, if it is given.
        split: the list ``SPLIT.txt``: train, val or test.
        left_out: gets the photographs, objects and phrases whose annotations cannot be used, which
            are logged in any case.

    Raises:
        FileNotFoundError: if the list, or the folder of photographs, is missing.
        ValueError: if there is no such split, or no phrase of it has a box.
    """
    file = _list_of(paths, split)
    photographs = photographs_of_entities(paths)
    failures: list[Failure] = []
    not_asked = collections.Counter(dict.fromkeys(NOT_ASKED, 0))
    seen: set[int] = set()

    def read(line: str) -> RegionImage:
        image_id = read_id(line)
        if image_id in seen:
            raise ValueError("it is listed before")
        seen.add(image_id)
        annotations = _read_annotations(paths.entities / f"Annotations/{image_id}.xml", failures)
        sentences = paths.entities / f"Sentences/{image_id}.txt"
        phrases = list(_read_phrases(sentences, image_id, annotations, failures))
        return _region_image(image_id, photographs.by_id(image_id), annotations, phrases, not_asked)

    lines = file.read_text(encoding="utf-8-sig").split()
    images = list(read_entries(lines, f"{file.name}, photograph", read, failures, str))
    leave_out(failures, left_out, logger)
    asked = [image for image in images if image.phrases]
    if not asked:
        reason = f": {failures[0].reason}" if failures else ""
        raise ValueError(f"{file} lists no photograph that has a phrase with a box{reason}")
    return Questions(asked, dict(not_asked))


def _list_of(paths: DataPaths, split: str) -> Path:
    if split not in LISTS:
        raise ValueError(f"there is no split {split}: Flickr30k Entities has {', '.join(LISTS)}")
    return paths.existing(paths.entities / f"{split}.txt")


def photographs_of_entities(paths: DataPaths) -> Photographs:
    """Index the photographs of Flickr30k, and those of Flickr8k, which are photographs of it."""
    if paths.own_images:
        return paths.photographs()
    both = (DataPaths(paths.root, name).photographs() for name in ("flickr30k", "flickr8k"))
    return Photographs(folder for one in both for folder in one.folders)


def read_xml(file: Path) -> Element:
    """Read an XML file that declares no types and no entities, so that it means what it says.

    Raises:
        ValueError: if it does; what an entity stands for may be larger than any memory.
        expat.ExpatError: if it is no XML.
    """

    def refuse(*_: object) -> None:
        raise ValueError("it has a DTD, which annotations do not need")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(file.read_bytes(), True)
    return builder.close()


def _read_annotations(file: Path, failures: list[Failure]) -> _Annotations:
    root = read_xml(file)
    size = read_size({side: root.findtext(f"size/{side}") for side in ("width", "height")})
    found = _Annotations(size, {}, set())
    objects = read_entries(root.iter("object"), f"{file.name}, object", _read_object, failures)
    for entities, box, is_scene in objects:
        for entity in entities:
            boxes = found.boxes.setdefault(entity, [])
            if box:
                boxes.append(box)
            elif is_scene:
                found.scenes.add(entity)
    return found


def _read_object(element: Element) -> tuple[list[int], list[float], bool]:
    """Read the entities that an object is, its box (none: empty), and whether it is the scene.

    As in Pascal VOC, ``xmin`` is the first column of pixels that belongs to it, counted from 1, and
    ``xmax`` the last, so a box around the whole photograph goes from 1 to its width.
    """
    entities = [int(name.text or "") for name in element.iter("name")]
    if not entities:
        raise ValueError("it has no name")
    box = element.find("bndbox")
    if box is None:
        return entities, [], element.findtext("scene") == "1"
    left, top, right, bottom = (
        int(box.findtext(side) or "") for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return entities, [left - 1, top - 1, right - left + 1, bottom - top + 1], False


Phrase = tuple[int, int, tuple[str, ...], str]  # its id, its entity, the entity's types, its words


def _read_phrases(
    file: Path, image_id: int, annotations: _Annotations, failures: list[Failure]
) -> Iterator[Phrase]:
    for row, sentence in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        read = functools.partial(_read_phrase, annotations, 10_000 * image_id + 100 * row)
        brackets = enumerate(BRACKETS.findall(sentence), start=1)
        what = f"{file.name}, sentence {row}, phrase"
        yield from read_entries(brackets, what, read, failures, lambda bracket: bracket[0])


def _read_phrase(annotations: _Annotations, first: int, bracket: tuple[int, str]) -> Phrase:
    place, text = bracket
    match = PHRASE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r:.80} is no phrase")
    entity, types = int(match[1]), tuple(match[2].strip("/").split("/"))
    if types != (NOT_VISUAL,):
        if not set(types) <= set(TYPES):
            raise ValueError(f"{match[2]} is none of {', '.join(TYPES)}")
        if entity not in annotations.boxes:
            raise ValueError(f"the annotations have no entity {entity}")
    return read_id(first + place), entity, types, match[3]


def _region_image(
    image_id: int,
    path: Path | None,
    annotations: _Annotations,
    phrases: list[Phrase],
    not_asked: collections.Counter[str],
) -> RegionImage:
    """Keep the phrases with boxes, and count the others."""
    asked: list[Phrase] = []
    for phrase in phrases:
        _, entity, types, _ = phrase
        if types == (NOT_VISUAL,):
            not_asked["not_visual"] += 1
        elif annotations.boxes[entity]:
            asked.append(phrase)
        else:
            scene = entity in annotations.scenes
            not_asked["scenes_without_box" if scene else "others_without_box"] += 1
    boxes = [(row, box) for row, one in enumerate(asked) for box in annotations.boxes[one[1]]]
    return RegionImage(
        image_id,
        path,
        annotations.size,
        tuple(number for number, _, _, _ in asked),
        tuple(words for _, _, _, words in asked),
        torch.tensor([box for _, box in boxes], dtype=torch.float32).view(-1, 4),
        torch.tensor([row for row, _ in boxes], dtype=torch.long),
        tuple(types for _, _, types, _ in asked),
    )
