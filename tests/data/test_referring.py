import dataclasses

import pytest

from misc.data.paths import DataPaths
from misc.data.referring import read_referring
from misc.runtime.failures import Failure
from tests.data.referring_files import REFS, SIDES, ref, write_instances, write_refs


@pytest.fixture
def paths(tmp_path):
    write_instances(tmp_path / "refcoco")
    return DataPaths(tmp_path)


def read(paths, refs, split="val", name="refs(unc).p", protocol=2):
    write_refs(paths.root / "refcoco" / name, refs, protocol)
    return read_referring(paths, "refcoco", split)


FORMS = [("refs(unc).json", None), *(("refs(unc).p", one) for one in (0, 2, 4, "python 2"))]


@pytest.mark.parametrize(("name", "protocol"), FORMS)
def test_each_sentence_of_a_split_is_asked_for_with_the_box_of_its_thing(paths, name, protocol):
    questions = read(paths, REFS, "val", name, protocol)
    assert (questions.source, questions.not_asked) == (f"{name}, val", {})
    first, second = questions.images
    assert (first.image_id, first.size, first.path, first.types) == (5, SIDES, None, ())
    assert first.phrases == ("man on the left", "left guy", "hat")
    assert first.region_ids == (10, 11, 40)
    left, hat = [0, 0, 200, 300], [150.5, 100, 100, 100]
    assert first.boxes.tolist() == [left, left, hat]
    assert first.phrase_of_box.tolist() == [0, 1, 2]
    assert (second.image_id, second.phrases, second.region_ids) == (6, ("the dog",), (20,))
    assert second.boxes.tolist() == [[200, 0, 200, 300]]
    assert questions.first(1).source == questions.source


def test_a_split_is_that_of_the_first_file_that_has_it(paths):
    others = [ref(1, 73, "val", "google's"), ref(2, 73, "test", "google's test")]
    read(paths, others, "test", "refs(google).p")
    for split, source, phrase in (
        ("testA", "refs(unc).p, testA", "a lake"),
        ("test", "refs(google).p, test", "google's test"),
        ("val", "refs(unc).p, val", "man on the left"),
    ):
        questions = read(paths, REFS, split)
        assert (questions.source, questions.images[0].phrases[0]) == (source, phrase)
    with pytest.raises(ValueError, match="there is no split testB in ") as caught:
        read(paths, REFS, "testB")
    text = str(caught.value)
    assert r"refs(unc).p, which has train, val, testA; nor in " in text
    assert text.endswith("refs(google).p, which has val, test")


@pytest.mark.parametrize("place", ["refcoco+", "refer/refcoco+", "refer/data/refcoco+"])
def test_the_folder_may_lie_in_that_of_refer(tmp_path, place):
    write_instances(tmp_path / place)
    write_refs(tmp_path / place / "refs(unc).p", REFS)
    assert len(read_referring(DataPaths(tmp_path), "refcoco+", "val").images) == 2


def test_photographs_are_those_of_coco_in_either_release_or_in_a_folder(paths, tmp_path):
    names = {
        "coco/images/train2014": ["COCO_train2014_000000000005.jpg"],
        "coco/train2017": ["000000000006.jpg"],
        "refer/images/train2014": ["COCO_train2014_000000000006.jpg"],
    }
    for folder, files in names.items():
        (tmp_path / folder).mkdir(parents=True)
        for file in files:
            (tmp_path / folder / file).touch()
    found = [image.path for image in read(paths, REFS).images]
    assert found == [
        tmp_path / "coco/images/train2014/COCO_train2014_000000000005.jpg",
        tmp_path / "coco/train2017/000000000006.jpg",
    ]
    mine = dataclasses.replace(paths, own_images=str(tmp_path / "refer"))
    found = [image.path for image in read(mine, REFS).images]
    assert found == [None, tmp_path / "refer/images/train2014/COCO_train2014_000000000006.jpg"]
    with pytest.raises(FileNotFoundError, match="no such folder of images: absent"):
        read(dataclasses.replace(paths, own_images="absent"), REFS)


def without(key, entry):
    return {name: value for name, value in entry.items() if name != key}


GOOD = ref(1, 70, "val", "a man")


def left_out_of(paths, refs, phrases=("a man",)):
    """What is left out, each by its reason; the good ref before all others is read."""
    write_refs(paths.root / "refcoco/refs(unc).p", [GOOD, *refs])
    left_out: list[Failure] = []
    (image,) = read_referring(paths, "refcoco", "val", left_out).images
    assert image.phrases == phrases
    return [failure.reason.removeprefix("refs(unc).p, ref ") for failure in left_out]


def agree(reasons, starts):
    assert len(reasons) == len(starts)
    for reason, start in zip(reasons, starts, strict=True):
        assert reason.startswith(start), reason


def test_a_ref_that_cannot_be_used_is_named(paths, caplog):
    odd = {
        "11: there is no 'ann_id'": without("ann_id", ref(11, 70, "val", "x")),
        "12: int() argument": ref(12, 70, "val", "x", ann_id=None),
        "13: there is no 'image_id'": without("image_id", ref(13, 70, "val", "x")),
        "14: there is no 'split'": without("split", ref(14, 70, "val", "x")),
        "15: 'testC' is none of the splits train, val,": ref(15, 70, "testC", "x"),
        "16: it has no list of sentences": ref(16, 70, "val"),
        "17: it has no list of sentences": ref(17, 70, "val", sentences="abc"),
        "without an id: there is no 'sentences'": {"split": "val"},
        "without an id: 'int' object": 3,
    }
    agree(left_out_of(paths, odd.values()), odd)
    assert "left out: refs(unc).p, ref 11: there is no 'ann_id'" in caplog.text


def test_a_sentence_that_cannot_be_used_is_named_and_others_of_its_ref_are_read(paths):
    odd = {
        "300: it is blank": {"sent": ""},
        "301: it is blank": {"sent": " \n"},
        "302: a sentence is a text, not 7": {"sent": 7},
        "303: it has bytes that are not in UTF-8": {"sent": "caf\udce9"},
        "10: it is listed before": {"sent_id": 10},
        "305: there is no 'sent'": {"sent": None},
        "without an id: there is no 'sent_id'": {"sent_id": None},
    }
    one = ref(30, 70, "val", *"abcdefgh")
    for sentence, change in zip(one["sentences"], odd.values(), strict=False):
        sentence |= change
    del one["sentences"][5]["sent"], one["sentences"][6]["sent_id"]
    reasons = left_out_of(paths, [one], ("a man", "h"))
    agree(reasons, [f"30, sentence {start}" for start in odd])


def test_a_thing_that_cannot_be_used_is_named_with_its_ref(paths):
    def change(content):
        content["images"][1]["width"] = 0
        content["images"].append({"width": 1})
        things = content["annotations"]
        things += [{"id": 75, "image_id": 8, "bbox": [1, 2, 3, 4]}]
        things += [{"id": 76, "image_id": 5, "bbox": [1, 2, 3]}, {"id": 77, "image_id": 5}]
        things += [things[0], things[0] | {"bbox": [9, 9, 9, 9]}]

    write_instances(paths.root / "refcoco", change)
    odd = {
        "20: instances.json has no annotation 99": ref(20, 99, "val", "x"),
        "21: instances.json has no image 8": ref(21, 75, "val", "x", image_id=8),
        "22: annotation 73 is of image 7, not 5": ref(22, 73, "val", "x", image_id=5),
        "23: a box is four finite numbers, not [1, 2, 3]": ref(23, 76, "val", "x"),
        "24: there is no 'bbox'": ref(24, 77, "val", "x"),
        "25: 0 x 300 pixels are no size": ref(25, 72, "val", "x"),
    }
    entries = [
        "instances.json, image without an id: there is no 'id'",
        "instances.json, annotation 70: it is listed before, and otherwise",
    ]
    agree(left_out_of(paths, odd.values()), entries + list(odd))


def test_refs_of_other_splits_are_not_looked_at(paths):
    refs = [*REFS, without("ann_id", ref(6, 70, "train", "x")), ref(7, 99, "testA", "x")]
    left_out: list[Failure] = []
    write_refs(paths.root / "refcoco/refs(unc).p", refs)
    read_referring(paths, "refcoco", "val", left_out)
    assert left_out == []


def test_missing_files_and_a_split_without_anything_say_so(paths):
    with pytest.raises(FileNotFoundError, match=r"refcoco/refs\(unc\)\.p\. data/README\.md says"):
        read_referring(paths, "refcoco", "val")
    with pytest.raises(FileNotFoundError, match=r"refcocog/instances\.json"):
        read_referring(paths, "refcocog", "val")
    blank = [ref(1, 70, "val", " ")]
    with pytest.raises(ValueError, match=r"no sentence of val whose thing has a box: .* is blank"):
        read(paths, blank)
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p is no list of refs, but a dict"):
        read(paths, {"refs": REFS})
    with pytest.raises(ValueError, match="there is no split val in .*, which has no refs"):
        read(paths, [])
    (paths.root / "refcoco/instances.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"instances\.json is not valid JSON"):
        read(paths, REFS)
