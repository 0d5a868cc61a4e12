"""Odd files: images, captions, JSON, and anything with a few bytes changed."""

import copy
import io
import json
import random
import struct
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image

from misc.data.image_files import SUFFIXES

WORDS = ("a", "dog", "cat", "red", "car", "pizza", "on", "the", "table")
ODD_TEXTS = (
    "", " ", "\t", "...", "\x00", '"', '"a dog', "'", "a" * 5000, "dog " * 500, "\u202e\u0301",
    "🐶🍔", "\ufeff", "a\x1cdog", "NaN", "null", "-1", "=1+1", "a,b;c\td", "ﬁ ǅ", "\U0010ffff",
)  # fmt: skip
ODD_VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1e308, 2**70, "", "a", [], {}, [[]], [None], {"a": 1}, "0", -0.5, "\ud800",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, cut, double or insert a few bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 20))):
        place = chance.randrange(len(changed) + 1)
        kind = chance.randrange(5)
        if kind == 0 and changed:
            changed[place % len(changed)] = chance.randrange(256)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            del changed[place : place + chance.randrange(50)]
        elif kind == 3:
            changed[place:place] = chance.randbytes(chance.randrange(20))
        else:
            changed[place : place + 4] = struct.pack(">I", chance.choice((0, 2**31, 2**32 - 1)))
    return bytes(changed)


def image_bytes(suffix: str, chance: random.Random) -> bytes:
    """Make an image of a format, in one of several modes and sizes, some with odd metadata."""
    mode = chance.choice(("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "F"))
    size = chance.choice(((1, 1), (1, 300), (300, 1), (40, 30), (64, 64)))
    buffer, options = io.BytesIO(), {}
    if chance.random() < 0.3:
        options["exif"] = b"Exif\0\0" + chance.randbytes(chance.randrange(60))
    for kind in (mode, "RGB"):
        try:
            Image.new(kind, size).save(buffer, SUFFIXES[suffix], **options)
        except (OSError, ValueError, KeyError, SyntaxError, struct.error):
            buffer, options = io.BytesIO(), {}
            continue
        return buffer.getvalue()
    return b""


def odd_image(folder: Path, number: int, chance: random.Random) -> None:
    """Put an odd image file, link or name into a folder."""
    suffix = chance.choice(list(SUFFIXES))
    data = image_bytes(suffix, chance)
    name = chance.choice(("image", "a b", "ü", "a\nb", "\udce9", "x" * 200, "'\"", "-d", "{0..3}"))
    file = folder / f"{name}{number}{chance.choice((suffix, suffix, suffix.upper(), '.jpg'))}"
    kind = chance.randrange(6)
    if kind == 0:
        file.symlink_to(chance.choice(("/nowhere/a.jpg", file)))
        return
    content = (data, b"", chance.randbytes(300), mutated(data, chance), mutated(data, chance))
    file.write_bytes(content[kind - 1])


def odd_text(chance: random.Random) -> str:
    words = " ".join(chance.choices(WORDS, k=chance.randrange(1, 9)))
    return chance.choice((words, chance.choice(ODD_TEXTS), words + chance.choice(ODD_TEXTS)))


def odd_table(
    suffix: str, images: list[str], count: int, chance: random.Random
) -> tuple[bytes, int | None]:
    """Make a caption table with rows that lack columns, close no quotes or name no image.

    Also say how many rows it has, if that is known: not where quotes or changed bytes join some.
    """
    lines = []
    for _ in range(count):
        image = chance.choice([*images, *images, "absent.jpg", "", "../..", "\x00.jpg"])
        if suffix == ".jsonl":
            row: Any = {"image": image, "caption": odd_text(chance)}
            if chance.random() < 0.4:
                row[chance.choice(("image", "caption", "split"))] = chance.choice(ODD_VALUES)
            if chance.random() < 0.2:
                row = chance.choice(ODD_VALUES)
            lines.append(json.dumps(row))
        else:
            separator = "," if suffix == ".csv" else "\t"
            row = [image, odd_text(chance), "extra"][: chance.choice((1, 2, 2, 2, 3))]
            lines.append(separator.join(row))
    rows = None if suffix == ".csv" else sum(bool(line) for line in lines)
    if suffix != ".jsonl":
        lines.insert(0, "image,caption" if suffix == ".csv" else "image\tcaption")
    data = "\n".join(lines).encode(errors="surrogatepass")
    return (mutated(data, chance), None) if chance.random() < 0.2 else (data, rows)


def odd_json(content: Any, count: int, chance: random.Random) -> Any:
    """Replace or remove so many values of a JSON, wherever they are in it; changes it."""
    for _ in range(count):
        parent: Any = content
        while True:
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            key = chance.choice(keys)
            child = parent[key]
            if isinstance(child, dict | list) and child and chance.random() < 0.9:
                parent = child
                continue
            break
        if chance.random() < 0.2 and len(parent) > 1:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(chance.choice(ODD_VALUES))  # they may be changed next
    return content


def odd_tar(file: Path, count: int, chance: random.Random) -> bool:
    """Write a tar of odd members, sometimes broken itself: False if it is."""
    with tarfile.open(file, "w") as tar:
        for number in range(count):
            suffix = chance.choice(list(SUFFIXES))
            data = image_bytes(suffix, chance)
            data = chance.choice((data, mutated(data, chance), b""))
            member = tarfile.TarInfo(f"{chance.choice(('a', 'ü', '../b', 'c/d'))}{number}{suffix}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    if chance.random() < 0.7:
        return True
    file.write_bytes(mutated(file.read_bytes(), chance))
    return False
