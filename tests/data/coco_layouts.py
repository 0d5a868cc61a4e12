"""The same photographs of COCO with their annotations, laid out as people have them."""

import json
from pathlib import Path

LAYOUTS = ("2014 nested", "2014 flat", "2017 nested", "2017 flat", "mixed")


def lay_out(source: Path, root: Path, layout: str) -> Path:
    """Link the photographs and annotations of a data root into another one, in some layout.

    In the release of 2017, every third image of val2014 goes to val2017, and in the mixed layout,
    every other one of the folder keeps the name and the place that it had.
    """
    listed = json.loads((source / "coco/dataset.json").read_text(encoding="utf-8"))["images"]
    (root / "coco/annotations").mkdir(parents=True)
    (root / "coco/dataset.json").symlink_to(source / "coco/dataset.json")
    moved = {}
    for row, entry in enumerate(listed):
        old = Path(entry["filepath"], entry["filename"])
        split = "val2017" if row % 3 == 0 and entry["split"] != "train" else "train2017"
        moved[entry["cocoid"]] = new = Path(split, f"{entry['cocoid']:012d}.jpg")
        kept = layout.startswith("2014") or (layout == "mixed" and row % 2)
        nested = "nested" in layout or (layout == "mixed" and row % 4 > 1)
        place = root / "coco" / ("images" if nested else "") / (old if kept else new)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source / "coco/images" / old)
    for file in (source / "coco/annotations").iterdir():
        if layout.startswith("2014"):
            (root / "coco/annotations" / file.name).symlink_to(file)
        else:
            _split(file, root / "coco/annotations", moved, listed)
    return root


def _split(file, folder, moved, listed):
    """Part a file of val2014 in those of 2017, which have the images of train2014, too."""
    content = json.loads(file.read_text(encoding="utf-8"))
    strangers = [image for image in listed if image["split"] == "train"]
    content["images"] += [{**content["images"][0], "id": image["cocoid"]} for image in strangers]
    content["annotations"] += [
        {**content["annotations"][0], "image_id": image["cocoid"]} for image in strangers
    ]
    for split in ("train2017", "val2017"):
        ids = {number for number, place in moved.items() if place.parts[0] == split}
        part = {
            **content,
            "images": [
                {**image, "file_name": moved[image["id"]].name}
                for image in content["images"]
                if image["id"] in ids
            ],
            "annotations": [one for one in content["annotations"] if one["image_id"] in ids],
        }
        text = json.dumps(part)
        name = file.name.replace("val2014", split)
        (folder / name).write_text(text, encoding="utf-8")
