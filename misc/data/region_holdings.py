"""What is there of the data sets of phrases with boxes under a data root, and what is missing."""

from collections.abc import Iterable
from pathlib import Path

from misc.data import sources
from misc.data.entities import photographs_of_entities
from misc.data.entries import read_id
from misc.data.flickr import LISTS
from misc.data.holdings import Found, Holding, lacking, look_at_instances
from misc.data.json_files import scan_json
from misc.data.paths import DataPaths
from misc.data.photographs import Photographs
from misc.data.referring import INSTANCES, SPLIT_BY, SPLITS, read_refs, refs_files
from misc.runtime.failures import Failure


def look_at_entities(paths: DataPaths) -> Found:
    """Count the photographs of each list of Flickr30k Entities, their sentences and boxes."""
    if not paths.entities.is_dir():
        return [], [sources.ENTITIES.format("Annotations, Sentences and lists")]
    photographs = photographs_of_entities(paths)
    holdings: list[Holding] = []
    missing: list[str] = []
    without = found = listed = 0
    for split in LISTS:
        file = paths.entities / f"{split}.txt"
        if not file.exists():
            missing.append(sources.ENTITIES.format(file.name))
            continue
        ids = [read_id(line) for line in file.read_text(encoding="utf-8-sig").split()]
        sentences = _existing(paths.entities / "Sentences", ".txt", ids)
        annotations = _existing(paths.entities / "Annotations", ".xml", ids)
        without += len(ids) - min(len(sentences), len(annotations))
        captions = sum(bool(line.strip()) for text in sentences for line in text.split(b"\n"))
        boxes = sum(text.count(b"<bndbox") for text in annotations)
        there = sum(photographs.by_id(number) is not None for number in ids)
        holdings.append(Holding(paths.dataset, split, there, len(ids), captions, boxes))
        found, listed = found + there, listed + len(ids)
    if without:
        missing.append(sources.ENTITIES.format(f"annotations of {without:,} photographs"))
    return holdings, missing + lacking(paths.dataset, found, listed)


def _existing(folder: Path, suffix: str, ids: Iterable[int]) -> list[bytes]:
    files = (folder / f"{number}{suffix}" for number in ids)
    return [file.read_bytes() for file in files if file.is_file()]


def look_at_visual_genome(paths: DataPaths) -> Found:
    """Count the photographs of Visual Genome, and the phrases with boxes."""
    files = paths.region_images, paths.regions
    missing = [sources.REGIONS.format(file.name) for file in files if not file.exists()]
    photographs = Photographs(paths.region_image_folders)
    boxes, ids = None, list[int]()
    if paths.regions.exists():
        boxes = sum(1 for _ in scan_json(paths.regions, "region_id"))
    if paths.region_images.exists():
        ids = [read_id(number) for number in scan_json(paths.region_images, "image_id")]
    found = sum(photographs.by_id(number) is not None for number in ids)
    holdings = [Holding(paths.dataset, "all", found, len(ids), boxes=boxes)]
    if not ids:
        found = len(photographs)
        holdings = [Holding(paths.dataset, "in no list", found, boxes=boxes)]
    if not found and not boxes and not ids:
        holdings = []
    coco = DataPaths(paths.root)
    if holdings and not any(map(Path.exists, (coco.captions, coco.instances, coco.split_file))):
        missing.append(sources.IN_COCO)
    return holdings, missing + lacking(paths.dataset, found, len(ids))


def look_at_referring(paths: DataPaths) -> Found:
    """Count the photographs of each split of RefCOCO and its kin, their sentences and things."""
    name = paths.dataset
    folder, photographs = paths.referring(name), DataPaths(paths.root).photographs()
    files, instances = refs_files(folder, name), folder / INSTANCES
    holdings: list[Holding] = []
    there: dict[int, bool] = {}  # the photographs, by id
    failures: list[Failure] = []
    for file in files:
        for split, refs in read_refs(file, SPLITS, failures).items():
            images = {ref.image_id for ref in refs}
            there |= {number: photographs.by_id(number) is not None for number in images}
            found = sum(there[number] for number in images)
            sentences = sum(len(ref.sentences) for ref in refs)
            boxes = len({ref.annotation for ref in refs})
            split = f"{split} of {file.name}"
            holdings.append(Holding(name, split, found, len(images), sentences, boxes))
    wanted = [] if files else [" or ".join(f"refs({by}).p" for by in SPLIT_BY[name])]
    if instances.exists():
        place = DataPaths(paths.root).images / "train2014"
        holdings.append(look_at_instances(name, instances, place, photographs))
    else:
        wanted.append(INSTANCES)
    missing = [sources.REFERRING.format(" and ".join(wanted), name)] if wanted else []
    if failures:
        missing.append(f"{len(failures):,} refs and sentences: {failures[0].reason}")
    return holdings, missing + (lacking(name, sum(there.values()), len(there)) if there else [])
