import itertools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from misc.toy import dataset as toy
from misc.toy import scenes as toy_scenes
from misc.toy.annotations import segmentation
from misc.toy.grammar import (
    GROUNDS,
    Box,
    arrangements,
    captions,
    kinds,
    places,
    regions,
    sizes,
    with_article,
)

COUNTS = toy.SceneCounts(train=24, val=8, test=160)
FEW = toy.SceneCounts(train=3, val=1, test=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy.ensure_toy(tmp_path_factory.mktemp("data"), seed=3, counts=COUNTS)


@pytest.fixture
def no_vectors(monkeypatch):
    monkeypatch.setattr(toy, "_write_word_vectors", lambda folder: folder.mkdir())


def read(folder, name):
    return json.loads((folder / name).read_text())


def annotation_bytes(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.json")}


def scenes(count, seed=0):
    things = kinds()
    glyphs = toy_scenes.draw_glyphs(things)
    for number in range(count):
        yield toy_scenes.draw_scene(np.random.default_rng([seed, number]), things, glyphs)


def test_the_same_seed_gives_the_same_files_to_the_byte(folder, tmp_path, no_vectors):
    again = toy.ensure_toy(tmp_path, seed=3, counts=COUNTS)
    assert annotation_bytes(again) == annotation_bytes(folder)
    assert len(annotation_bytes(folder)) == 6
    pictures = sorted(folder.rglob("*.jpg"))
    assert len(pictures) == 24 + 8 + 2 * 160
    for path in pictures[::20]:
        copy = again / path.relative_to(folder)
        assert np.array_equal(np.asarray(Image.open(copy)), np.asarray(Image.open(path)))


def test_another_seed_gives_other_scenes(folder, tmp_path, no_vectors):
    other = toy.ensure_toy(tmp_path, seed=4, counts=FEW)
    first = read(other, "coco/dataset.json")["images"][0]["sentences"]
    assert first != read(folder, "coco/dataset.json")["images"][0]["sentences"]


def test_a_scene_does_not_depend_on_how_many_others_there_are(folder, tmp_path, no_vectors):
    def texts(folder):
        images = read(folder, "coco/dataset.json")["images"]
        return {
            split: [
                [s["raw"] for s in image["sentences"]]
                for image in images
                if image["split"] == split
            ]
            for split in ("train", "val", "test")
        }

    few, many = texts(toy.ensure_toy(tmp_path, seed=3, counts=FEW)), texts(folder)
    assert [len(few[split]) for split in few] == [3, 1, 2]
    assert all(few[split] == many[split][: len(few[split])] for split in few)


def test_pixels_before_jpeg_depend_on_the_generator_alone():
    for (first, *_), (second, *_) in zip(scenes(3), scenes(3), strict=True):
        assert first.tobytes() == second.tobytes()


def test_every_emoji_has_a_picture_in_colour_and_no_two_are_the_same():
    glyphs = toy_scenes.draw_glyphs(kinds())
    pixels = [np.asarray(glyph.resize((32, 32)), np.float32) for glyph in glyphs]
    for kind, glyph, small in zip(kinds(), glyphs, pixels, strict=True):
        opaque = np.asarray(glyph)[np.asarray(glyph)[..., 3] > 200][:, :3]
        assert min(glyph.size) > 10, kind
        # A font that is drawn without its colours gives one colour; a missing glyph is an outline.
        assert len(np.unique(opaque // 16, axis=0)) > 1, kind
        assert (small[..., 3] > 128).mean() > 0.15, kind
    for (a, first), (b, second) in itertools.combinations(zip(kinds(), pixels, strict=True), 2):
        assert np.abs(first - second).mean() > 10, (a.name, b.name)


def test_kinds_have_different_names():
    names = [name for kind in kinds() for name in {kind.name, *kind.nouns}]
    assert len(kinds()) >= 70
    assert len(names) == len(set(names))


def test_one_to_three_things_are_seen_in_full_on_eight_grounds():
    counts, grounds = [], set()
    for _, scene, labels in scenes(300):
        counts.append(len(scene.things))
        grounds.add(scene.ground)
        for label, (_, box) in enumerate(scene.things, start=1):
            assert 0.25 * toy_scenes.SIDE < max(box.width, box.height) <= 0.56 * toy_scenes.SIDE
            assert (labels == label).any()
    assert grounds == set(GROUNDS) == set(toy_scenes.COLORS)
    assert len(grounds) == 8
    shares = np.bincount(counts, minlength=4)[1:] / 300
    assert np.abs(shares - [0.4, 0.4, 0.2]).max() < 0.1


def test_arrangements_by_hand():
    dog, cat = Box(10, 50, 40, 40), Box(60, 54, 40, 40)
    assert set(arrangements(dog, cat, 128)) == {"to the left of", "left of", "next to", "beside"}
    assert set(arrangements(cat, dog, 128)) == {"to the right of", "right of", "next to", "beside"}
    assert arrangements(dog, Box(20, 5, 30, 30), 128) == ["below", "under"]
    assert arrangements(Box(20, 5, 30, 30), dog, 128) == ["above", "over"]
    assert arrangements(dog, Box(50, 92, 36, 36), 128) == []  # diagonal
    far = Box(0, 0, 20, 20), Box(100, 0, 20, 20)
    assert arrangements(*far, 128) == ["to the left of", "left of"]


def test_places_and_sizes_by_hand():
    assert places(Box(0, 0, 40, 40), 128) == ["on the left", "at the top", "in the top left corner"]
    assert places(Box(44, 44, 40, 40), 128) == ["in the middle"]
    assert places(Box(44, 80, 40, 40), 128) == ["at the bottom"]
    assert sizes(Box(0, 0, 40, 20), 128) == ["small", "little"]
    assert sizes(Box(0, 0, 30, 64), 128) == ["big", "large"]
    assert sizes(Box(0, 0, 54, 54), 128) == []


def test_articles():
    nouns = "owl", "hourglass", "unicorn", "ufo", "umbrella", "dog", "ice cream"
    articles = [with_article(noun).split()[0] for noun in nouns]
    assert articles == ["an", "an", "a", "a", "an", "a", "an"]


NOUNS = {with_article(noun): kind.name for kind in kinds() for noun in kind.nouns}
NOUN = "(" + "|".join(sorted(NOUNS, key=len, reverse=True)) + r")(?!\w)"
LINK = "(to the left of|left of|to the right of|right of|above|over|below|under|next to|beside)"


def is_true(first, link, second):
    """Twin of ``arrangements`` that looks at edges, not at centres."""
    if "left" in link or "right" in link:
        first, second = (first, second) if "left" in link else (second, first)
        return first.x < second.x and first.x + first.width < second.x + second.width
    if link in ("next to", "beside"):
        top = max(first.y, second.y)
        return top < min(first.y + first.height, second.y + second.height)
    first, second = (first, second) if link in ("above", "over") else (second, first)
    return first.y < second.y and first.y + first.height < second.y + second.height


def claims(text):
    for first, link, second, third in re.findall(f"{NOUN} {LINK} {NOUN}(?: and {NOUN})?", text):
        yield first, link, second
        if third:
            yield first, link, third


def test_what_captions_and_phrases_say_about_arrangements_is_true():
    said = []
    for number, (_, scene, _) in enumerate(scenes(400)):
        boxes = {kind.name: box for kind, box in scene.things}
        rng = np.random.default_rng(number)
        texts = captions(rng, scene) + [phrase for phrase, _ in regions(rng, scene)]
        for first, link, second in itertools.chain.from_iterable(map(claims, texts)):
            said.append(link)
            assert is_true(boxes[NOUNS[first]], link, boxes[NOUNS[second]]), (texts, boxes)
    assert len(said) > 300
    assert set(said) == {*LINK.strip("()").split("|")}


def test_what_captions_say_about_place_and_size_is_true():
    said = set()
    for number, (_, scene, _) in enumerate(scenes(300)):
        if len(scene.things) > 1:
            continue
        box = scene.things[0][1]
        x, y = (2 * center - toy_scenes.SIDE for center in box.center)  # 0 is the middle
        truth = {"left": x < 0, "right": x > 0, "top": y < 0, "bottom": y > 0}
        truth["middle"] = max(abs(x), abs(y)) < 0.2 * toy_scenes.SIDE
        longest = max(box.width, box.height)
        truth["small"] = truth["little"] = longest < 0.4 * toy_scenes.SIDE
        truth["big"] = truth["large"] = longest > 0.45 * toy_scenes.SIDE
        for caption in captions(np.random.default_rng(number), scene):
            words = truth.keys() & caption.split()
            assert all(truth[word] for word in words), (caption, box)
            said |= words
    assert said == truth.keys()


def test_five_different_captions_name_every_thing(folder):
    for image in read(folder, "coco/dataset.json")["images"]:
        texts = [sentence["raw"] for sentence in image["sentences"]]
        assert len(texts) == len(set(texts)) == 5
        named = [{NOUNS.get(noun) for noun in re.findall(NOUN, text)} for text in texts]
        if any(len(names) > 1 for names in named):
            assert all(names == named[0] for names in named), texts


def test_about_a_fifth_of_the_captions_names_the_ground(folder):
    images = read(folder, "coco/dataset.json")["images"]
    texts = [sentence["raw"] for image in images for sentence in image["sentences"]]
    phrases = tuple(itertools.chain(*GROUNDS.values()))
    assert 0.1 < np.mean([text.endswith(phrases) for text in texts]) < 0.3


def test_the_split_file_has_the_keys_of_karpathys(folder):
    images = read(folder, "coco/dataset.json")["images"]
    assert [image["split"] for image in images] == ["train"] * 24 + ["val"] * 8 + ["test"] * 160
    keys = {"filepath", "filename", "imgid", "cocoid", "split", "sentids", "sentences"}
    assert images[0].keys() == keys
    assert images[5]["sentids"] == [s["sentid"] for s in images[5]["sentences"]] == [*range(25, 30)]
    for image in images:
        assert (folder / "coco/images" / image["filepath"] / image["filename"]).exists()
        assert image["filepath"] == ("train2014" if image["split"] == "train" else "val2014")
        for sentence in image["sentences"]:
            assert sentence["tokens"] == sentence["raw"].replace(",", "").split()


def test_every_word_has_a_vector_and_unknown_words_have_the_mean(folder):
    words = (folder / "word_vectors/dictionary.txt").read_text().split("\n")[:-1]
    table = np.load(folder / "word_vectors/utable.npy", mmap_mode="r", allow_pickle=False)
    assert table.shape == (len(words), 50)
    assert table.dtype == np.float32
    assert words[-1] == "UNK"
    assert len(set(words)) == len(words) == 400_001
    np.testing.assert_allclose(table[-1], table[:-1].mean(0, dtype=np.float64), atol=1e-6)
    dog, puppy, plane = (table[words.index(word)] for word in ("dog", "puppy", "airplane"))
    assert np.linalg.norm(dog - puppy) < np.linalg.norm(dog - plane)

    images = read(folder, "coco/dataset.json")["images"]
    used = {w for image in images for s in image["sentences"] for w in s["tokens"]}
    used |= {word for kind in kinds() for noun in kind.nouns for word in noun.split()}
    assert used <= set(words)


def test_masks_of_all_three_forms_decode_to_the_stated_area_and_box(folder, capsys):
    coco = COCO(folder / "coco/annotations/instances_val2014.json")
    forms = []
    for annotation in coco.loadAnns(coco.getAnnIds()):
        segmentation = annotation["segmentation"]
        form = list if isinstance(segmentation, list) else type(segmentation["counts"])
        forms.append("polygon" if form is list and form is type(segmentation) else form)
        mask = coco.annToMask(annotation)
        assert mask.shape == (toy_scenes.SIDE, toy_scenes.SIDE)
        assert mask.sum() == annotation["area"]
        ys, xs = np.nonzero(mask)
        edges = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        tolerance = 1 if forms[-1] == "polygon" else 0
        np.testing.assert_allclose(edges, annotation["bbox"], atol=tolerance)
    assert forms[:6] == ["polygon", list, str] * 2
    assert len(coco.getImgIds()) == 168
    assert len(coco.getCatIds()) == len(kinds())


def test_one_mask_is_the_same_in_all_three_forms():
    coco = COCO()
    coco.imgs = {1: {"height": toy_scenes.SIDE, "width": toy_scenes.SIDE}}
    rows, columns = np.indices((toy_scenes.SIDE, toy_scenes.SIDE))
    disc = ((rows - 30) ** 2 + (columns - 90) ** 2 < 400).astype(np.uint8)
    corners = np.zeros_like(disc)
    corners[:9, :5] = corners[-7:, -4:] = 1  # the first and the last pixel are set
    for mask in (disc, corners):
        for form in range(3):
            annotation = {"image_id": 1, "segmentation": segmentation(mask, form)}
            decoded = coco.annToMask(annotation)
            overlap = (decoded & mask).sum() / (decoded | mask).sum()
            assert overlap > 0.95 if form == 0 else overlap == 1


def test_the_caption_file_has_the_captions_of_the_split_file(folder, capsys):
    coco = COCO(folder / "coco/annotations/captions_val2014.json")
    for image in read(folder, "coco/dataset.json")["images"][24:]:
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["cocoid"]))
        assert [a["caption"] for a in found] == [s["raw"] for s in image["sentences"]]


def test_regions_join_coco_by_its_id_and_their_boxes_are_those_of_the_things(folder, capsys):
    coco = COCO(folder / "coco/annotations/instances_val2014.json")
    images = {i["image_id"]: i for i in read(folder, "visual_genome/image_data.json")}
    folders = set()
    for entry in read(folder, "visual_genome/region_descriptions.json"):
        image = images.pop(entry["id"])
        assert image["coco_id"] != image["image_id"]
        things = coco.loadAnns(coco.getAnnIds(imgIds=image["coco_id"]))
        boxes = {coco.cats[thing["category_id"]]["name"]: thing["bbox"] for thing in things}
        subfolder = image["url"].split("/")[-2]
        folders.add(subfolder)
        path = folder / "visual_genome" / subfolder / f"{entry['id']}.jpg"
        assert (
            path.read_bytes()
            == (
                folder / "coco/images/val2014" / coco.imgs[image["coco_id"]]["file_name"]
            ).read_bytes()
        )
        assert len(entry["regions"]) >= len(things)
        for region in entry["regions"]:
            x, y, width, height = (region[key] for key in ("x", "y", "width", "height"))
            assert 0 <= x < x + width <= toy_scenes.SIDE
            assert 0 <= y < y + height <= toy_scenes.SIDE
            if region["phrase"] in NOUNS:
                assert boxes[NOUNS[region["phrase"]]] == [x, y, width, height]
    assert not images
    assert folders == {"VG_100K", "VG_100K_2"}


def test_a_whole_set_is_used_as_it_is(tmp_path, no_vectors):
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    built = (folder / "toy.json").stat()
    assert toy.ensure_toy(tmp_path, seed=5, counts=FEW) == folder == tmp_path / "toy"
    assert toy.ensure_toy(tmp_path) == folder  # any seed and size will do
    assert (folder / "toy.json").stat() == built


def test_a_set_of_another_seed_size_or_version_is_replaced(tmp_path, no_vectors, monkeypatch):
    for seed, counts in ((5, FEW), (6, FEW), (6, toy.SceneCounts(1, 1, 1))):
        marker = read(toy.ensure_toy(tmp_path, seed, counts), "toy.json")
        assert marker["seed"] == seed
        assert marker["scenes"]["train"] == counts.train
    assert len(list(tmp_path.glob("toy/coco/images/*/*.jpg"))) == 3
    monkeypatch.setattr(toy, "VERSION", toy.VERSION + 1)
    assert read(toy.ensure_toy(tmp_path, 6, counts), "toy.json")["version"] == toy.VERSION


@pytest.mark.parametrize("marker", [None, "", "{}", "[1]", '{"seed": 5, "scenes": {"tra'])
def test_a_folder_without_its_marker_is_built_anew(tmp_path, no_vectors, marker):
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    whole = annotation_bytes(folder)
    (folder / "coco/dataset.json").write_text("cut of")
    (folder / "toy.json").unlink()
    if marker is not None:
        (folder / "toy.json").write_text(marker)
    toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    assert annotation_bytes(folder) == whole


def start(*arguments):
    command = [sys.executable, "-m", "misc.toy", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_build_leaves_no_set_and_does_not_disturb_the_next(tmp_path, no_vectors):
    process = start("--root", tmp_path, "--train", 1_000_000)
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob("*/coco/images/train2014/*.jpg")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "toy").exists()
    assert (tmp_path / ".toy.partial").exists()
    folder = toy.ensure_toy(tmp_path, seed=5, counts=FEW)
    assert len(list((folder / "coco/images/train2014").iterdir())) == FEW.train
    assert not (tmp_path / ".toy.partial").exists()


def test_two_processes_that_build_at_once_end_with_one_whole_set(tmp_path):
    arguments = ("--root", tmp_path, "--train", 3, "--val", 1, "--test", 2)
    both = [start(*arguments) for _ in range(2)]
    for process in both:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output.strip()) == (0, str(tmp_path / "toy")), errors
    assert {path.name for path in tmp_path.iterdir()} == {"toy", ".toy.lock"}
    assert len(list(tmp_path.glob("toy/coco/images/*/*.jpg"))) == 6


def test_a_wrong_root_or_seed_gives_one_clear_line(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for arguments, message in (
        (("--root", file), "is a file"),
        (("--root", tmp_path, "--seed", -1), "must not be negative"),
    ):
        process = start(*arguments)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert message in errors.splitlines()[-1]
        assert "Traceback" not in errors
