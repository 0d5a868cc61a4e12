import json
import shutil

import pytest

from misc.data.__main__ import get_parser, main
from misc.data.holdings import Holding
from misc.data.json_files import scan_json
from tests.data.coco_layouts import lay_out
from tests.data.flickr_formats import write_kaggle_8k, write_karpathy, write_lists
from tests.data.referring_files import REFS, ref, write_instances, write_refs

REFERRING = ("refcoco", "refcoco+", "refcocog")
ALL = ("coco", "flickr8k", "flickr30k", "flickr30k_entities", *REFERRING, "visual_genome", "toy")
IMAGES = {
    "11.jpg": ("train", ["A dog .", "A dog ."]),
    "12.jpg": ("val", ["A cat ."]),
    "13.jpg": ("test", ["A cow ."]),
}
BOXES = "<annotation><object><bndbox></bndbox></object><object><bndbox/></object></annotation>"


def look(root):
    return main(get_parser().parse_args(["--data-root", str(root)]))


def photographs(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def write_flickr(root):
    for dataset in ("flickr8k", "flickr30k"):
        photographs(root / dataset / "Images", *IMAGES)
        write_karpathy(root / dataset, IMAGES)


def write_entities(root):
    for folder in ("Annotations", "Sentences"):
        (root / folder).mkdir(parents=True)
    write_lists(root, IMAGES, entities=True)
    for name in IMAGES:
        (root / "Annotations" / name).with_suffix(".xml").write_text(BOXES)
        (root / "Sentences" / name).with_suffix(".txt").write_text("A dog .\n" * 5)


def write_referring(root):
    for name in REFERRING:
        write_instances(root / name)
        write_refs(root / name / f"refs({'umd' if name == 'refcocog' else 'unc'}).p", REFS)


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_root_has_nothing_and_says_where_to_get_each(tmp_path, capsys, there):
    root = tmp_path if there else tmp_path / "absent"
    inventory = look(root)
    assert (inventory.holdings, inventory.word_vectors) == ([], "")
    assert {name for name, _ in inventory.missing} == {*ALL, "word vectors"}
    text = capsys.readouterr().out
    assert text.startswith(f"data root {root}{'' if there else ', which is not there'}\nnone of")
    for needed in (
        "dataset_coco.json", "train2014.zip", "instances_val2014.json", "Flickr8k_text.zip",
        "dataset_flickr30k.json", "flickr30k_entities", "region_descriptions.json.zip",
        "utable.npy", "train.py --preset toy", "refs(umd).p or refs(google).p and", "refcoco+.zip",
    ):  # fmt: skip
        assert needed in text
    assert max(map(len, text.splitlines()[1:])) <= 100


def test_a_full_root_lacks_nothing(toy_root, tmp_path, capsys):
    for folder in ("coco/annotations", "coco/images", "visual_genome", "word_vectors"):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(toy_root / "toy" / folder)
    (tmp_path / "coco/dataset.json").symlink_to(toy_root / "toy/coco/dataset.json")
    (tmp_path / "toy").symlink_to(toy_root / "toy")
    photographs(tmp_path / "coco/train2017", *(f"{number:012d}.jpg" for number in (5, 6, 7)))
    write_referring(tmp_path)
    write_flickr(tmp_path)
    write_entities(tmp_path / "flickr30k_entities")
    inventory = look(tmp_path)
    assert inventory.missing == []
    things = json.loads((toy_root / "toy/coco/annotations/instances_val2014.json").read_text())
    regions = json.loads((toy_root / "toy/visual_genome/region_descriptions.json").read_text())
    boxes, phrases = len(things["annotations"]), sum(len(image["regions"]) for image in regions)
    coco = [("train", 24, 24, 120, None), ("val", 8, 8, 40, None), ("test", 16, 16, 80, None),
            ("instances_val2014.json", 24, 24, None, boxes)]  # fmt: skip
    flickr = [("train", 1, 1, 2, None), ("val", 1, 1, 1, None), ("test", 1, 1, 1, None)]
    expected = [Holding("coco", *row) for row in coco]
    expected += [Holding(name, *row) for name in ("flickr8k", "flickr30k") for row in flickr]
    entities = [(split, 1, 1, 5, 2) for split in ("train", "val", "test")]
    expected += [Holding("flickr30k_entities", *row) for row in entities]
    referring = [("val", 2, 2, 4, 3), ("testA", 1, 1, 1, 1), ("train", 1, 1, 1, 1)]
    for name, by in zip(REFERRING, ("unc", "unc", "umd"), strict=True):
        expected += [Holding(name, f"{one} of refs({by}).p", *row) for one, *row in referring]
        expected.append(Holding(name, "instances.json", 3, 3, None, 5))
    expected.append(Holding("visual_genome", "all", len(regions), len(regions), None, phrases))
    expected += [Holding("toy", *row) for row in coco]
    expected.append(Holding("toy", "regions", len(regions), len(regions), None, phrases))
    assert inventory.holdings == expected
    text = capsys.readouterr().out
    assert "missing" not in text
    assert ["coco", "train", "24", "of", "24", "120"] in [
        line.split() for line in text.splitlines()
    ]
    assert inventory.word_vectors.endswith("words of 50 dimensions")


def test_a_half_filled_root_says_what_is_missing_of_each_and_no_more(toy_root, tmp_path, capsys):
    lay_out(toy_root / "toy", tmp_path, "2017 flat")
    for photograph in list((tmp_path / "coco/train2017").iterdir())[:20]:
        photograph.unlink()
    (tmp_path / "coco/annotations/instances_val2017.json").unlink()
    (tmp_path / "flickr8k").mkdir()
    write_kaggle_8k(tmp_path / "flickr8k/captions.txt", IMAGES)
    (tmp_path / "flickr8k/Flickr_8k.devImages.txt").write_text("12.jpg\n")
    photographs(tmp_path / "flickr8k/Flicker8k_Dataset", *IMAGES)
    photographs(tmp_path / "flickr30k/flickr30k_images", "11.jpg", "README.md")
    write_entities(tmp_path / "flickr30k_entities")
    (tmp_path / "flickr30k_entities/test.txt").unlink()
    (tmp_path / "flickr30k_entities/Sentences/12.txt").unlink()
    photographs(tmp_path / "visual_genome/VG_100K", "7.jpg", "8.jpg")
    inventory = look(tmp_path)
    counts = {(one.dataset, one.split): (one.found, one.listed) for one in inventory.holdings}
    assert sum(found for (name, split), (found, _) in counts.items() if name == "coco" and split in
               ("train", "val", "test")) == 28  # fmt: skip
    assert counts["flickr8k", "val"] == (1, 1)
    assert counts["flickr30k", "in no list"] == (1, None)
    assert counts["flickr30k_entities", "val"] == (1, 1)
    assert counts["visual_genome", "in no list"] == (2, None)
    missing = sorted((name, text.split(":")[0]) for name, text in inventory.missing)
    assert missing == [
        ("coco", "20 of 48 photographs"),
        ("coco", "outlines and boxes"),
        ("flickr30k", "captions and splits"),
        ("flickr30k_entities", "annotations of 1 photographs"),
        ("flickr30k_entities", "test.txt"),
        ("flickr8k", "no list of train, test for captions.txt"),
        ("refcoco", "refs(unc).p or refs(google).p and instances.json"),
        ("refcoco+", "refs(unc).p and instances.json"),
        ("refcocog", "refs(umd).p or refs(google).p and instances.json"),
        ("toy", "no download"),
        ("visual_genome", "image_data.json"),
        ("visual_genome", "region_descriptions.json"),
        ("word vectors", "Skip-Thought"),
    ]  # fmt: skip
    assert "1 of 1" in capsys.readouterr().out


def test_of_half_a_refcoco_it_is_said_what_is_missing(tmp_path):
    odd = [ref(9, 70, "testC", "x"), ref(10, 70, "val", " "), 3]
    write_refs(tmp_path / "refcoco/refs(google).json", [*REFS, *odd])
    write_instances(tmp_path / "refer/refcocog")
    photographs(tmp_path / "coco/train2014", "COCO_train2014_000000000006.jpg")
    inventory = look(tmp_path)
    counts = [one for one in inventory.holdings if one.dataset in REFERRING]
    file = "refs(google).json"
    assert counts == [
        Holding("refcoco", f"val of {file}", 1, 2, 4, 3),
        Holding("refcoco", f"testA of {file}", 0, 1, 1, 1),
        Holding("refcoco", f"train of {file}", 0, 1, 1, 1),
        Holding("refcocog", "instances.json", 1, 3, None, 5),
    ]
    missing = [(name, text) for name, text in inventory.missing if name in REFERRING]
    where = ", github.com/lichengunc/refer says where, unpacked in the data root"
    assert missing == [
        ("refcoco", f"instances.json: refcoco.zip{where}"),
        ("refcoco", f"3 refs and sentences: {file}, ref 9: 'testC' is none of the splits "
         "train, val, test, testA, testB"),
        ("refcoco", "2 of 3 photographs: those of COCO's train2014"),
        ("refcoco+", f"refs(unc).p and instances.json: refcoco+.zip{where}"),
        ("refcocog", f"refs(umd).p or refs(google).p: refcocog.zip{where}"),
    ]  # fmt: skip


def test_what_is_broken_is_named_and_the_rest_is_counted(toy_root, tmp_path, capsys):
    shutil.copytree(toy_root / "toy/word_vectors", tmp_path / "word_vectors")
    (tmp_path / "word_vectors/utable.npy").write_bytes(b"")
    write_flickr(tmp_path)
    (tmp_path / "flickr8k/dataset.json").write_text('{"images": [')
    write_referring(tmp_path)
    (tmp_path / "refcoco/refs(unc).p").write_bytes(b"cposix\nsystem\n.")
    (tmp_path / "refcoco+/instances.json").write_text('{"images": [')
    (tmp_path / "coco/annotations").mkdir(parents=True)
    (tmp_path / "coco/annotations/instances_val2014.json").write_text('{"images": [')
    reasons = dict(look(tmp_path).missing)
    assert "dataset.json is not valid JSON" in reasons["flickr8k"]
    assert "instances_val2014.json is cut off; download it again" in reasons["coco"]
    assert "refs(unc).p is refused: it asks for 'posix.system'" in reasons["refcoco"]
    assert "instances.json is cut off; download it again" in reasons["refcoco+"]
    assert "cannot read the word vectors" in reasons["word vectors"]
    assert "flickr30k           train" in capsys.readouterr().out


def test_keys_are_found_without_parsing_and_never_in_a_text(tmp_path):
    file = tmp_path / "a.json"
    values = [{"id": "a"}, {"id": -7, "text": '"id": 5, \\"id": 6'}, {"x": [{"id": [1]}]}]
    for indent in (None, 2):
        file.write_text(json.dumps({"id": 3, "all": values}, indent=indent) + "\n")
        assert list(scan_json(file, "id")) == ["3", "a", "-7", ""]
    for content, reason in (("", "is empty"), ('{"id": 1', "is cut off")):
        file.write_text(content)
        with pytest.raises(ValueError, match=rf"a\.json {reason}; download it again"):
            list(scan_json(file, "id"))
