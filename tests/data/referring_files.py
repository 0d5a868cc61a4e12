"""A miniature RefCOCO, in the forms that people have it in."""

import json
import pickle

SIDES = 400, 300  # of each photograph, in pixels
# By id: the photograph and the box.
THINGS: dict[int, tuple[int, list[float]]] = {
    70: (5, [0, 0, 200, 300]),
    71: (5, [150.5, 100, 100, 100]),
    72: (6, [200, 0, 200, 300]),
    73: (7, [0, 0, 400, 300]),
    74: (5, [0, 0, 10, 10]),  # nothing refers to it
}


def ref(number, thing, split, *sentences, **others):
    """A ref as it is published; its sentences have the ids 10 * number, and so on."""
    texts = [
        {
            "sent_id": 10 * number + place,
            "sent": text,
            "raw": f"{text}!".title(),
            "tokens": text.split(),
        }
        for place, text in enumerate(sentences)
    ]
    image = THINGS[thing][0] if thing in THINGS else 5
    return {
        "ref_id": number, "ann_id": thing, "image_id": image, "split": split, "category_id": 1,
        "file_name": f"COCO_train2014_{image:012d}_{number}.jpg", "sentences": texts,
        "sent_ids": [one["sent_id"] for one in texts],
    } | others  # fmt: skip


REFS = [
    ref(1, 70, "val", "man on the left", "left guy"),
    ref(2, 72, "val", "the dog"),
    ref(3, 73, "testA", "a lake"),
    ref(4, 71, "val", "hat"),
    ref(5, 74, "train", "corner"),
]


def _python_2(value):
    """Pickle as Python 2 did, whose texts are bytes if they are no ``unicode``."""
    if isinstance(value, str):
        content = value.encode()
        return b"U" + bytes([len(content)]) + content
    if isinstance(value, list):
        return b"](" + b"".join(map(_python_2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python_2(one) for pair in value.items() for one in pair) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def write_refs(file, refs, protocol=2):
    """Write a file of refs; the protocol "python 2" is 2, with texts that are bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        file.write_text(json.dumps(refs), encoding="utf-8")
    elif protocol == "python 2":
        file.write_bytes(b"\x80\x02" + _python_2(refs) + b".")
    else:
        file.write_bytes(pickle.dumps(refs, protocol))


def write_instances(folder, change=None):
    """Write the photographs and things; ``change`` gets all of it, and may."""
    content = {
        "images": [
            {"id": number, "width": SIDES[0], "height": SIDES[1],
             "file_name": f"COCO_train2014_{number:012d}.jpg"}
            for number in (5, 6, 7)
        ],
        "annotations": [
            {"id": number, "image_id": image, "bbox": box, "segmentation": [[0, 0, 1, 1, 1, 0]]}
            for number, (image, box) in THINGS.items()
        ],
        "categories": [],
    }  # fmt: skip
    if change:
        change(content)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
