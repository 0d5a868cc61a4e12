"""Captions of Flickr8k or Flickr30k, written down in each of the formats that people have."""

import csv
import json
from pathlib import Path

LISTS = {"train": "train", "val": "dev", "test": "test"}
KAGGLE_BROKEN = "2199200615.jpg| 4   A dog runs across the grass .\n"
Captions = dict[str, tuple[str, list[str]]]  # by the name of the image: its split, its captions


def write_karpathy(folder: Path, images: Captions) -> None:
    entries = [
        {
            "imgid": row, "filename": name, "filepath": "", "split": split,
            "sentences": [{"raw": text} for text in texts],
        }
        for row, (name, (split, texts)) in enumerate(images.items())
    ]  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps({"images": entries}), encoding="utf-8")


def write_lists(folder: Path, images: Captions, entities: bool = False) -> None:
    for split, word in LISTS.items():
        names = [name for name, (of, _) in images.items() if of == split]
        if entities:
            names, file = [name.split(".")[0] for name in names], folder / f"{split}.txt"
        else:
            file = folder / f"Flickr_8k.{word}Images.txt"
        file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_tokens(file: Path, images: Captions) -> None:
    with file.open("w", encoding="utf-8") as lines:
        for name, (_, texts) in images.items():
            lines.writelines(f"{name}#{row}\t{text}\n" for row, text in enumerate(texts))


def write_kaggle_8k(file: Path, images: Captions) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["image", "caption"])
        rows.writerows((name, text) for name, (_, texts) in images.items() for text in texts)


def write_kaggle_30k(file: Path, images: Captions) -> None:
    with file.open("w", encoding="utf-8") as lines:
        lines.write("image_name| comment_number| comment\n")
        for name, (_, texts) in images.items():
            lines.writelines(f"{name}| {row}| {text}\n" for row, text in enumerate(texts))
