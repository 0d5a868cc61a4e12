import dataclasses

import pytest

from misc.data.entities import read_entities
from misc.data.paths import DataPaths
from misc.runtime.failures import Failure

SIZE = "<size><width>400</width><height>300</height><depth>3</depth></size>"


def box(*sides):
    names = ("xmin", "ymin", "xmax", "ymax")
    inside = "".join(f"<{name}>{side}</{name}>" for name, side in zip(names, sides, strict=False))
    return f"<bndbox>{inside}</bndbox>"


def thing(content, *entities):
    return "<object>" + "".join(f"<name>{one}</name>" for one in entities) + content + "</object>"


NO_BOX, SCENE = (f"<scene>{scene}</scene><nobndbox>1</nobndbox>" for scene in (0, 1))
OBJECTS = (
    thing(box(1, 1, 400, 300), 5, 6) + thing(box(11, 21, 11, 30), 5) + thing(NO_BOX, 7)
    + thing(SCENE, 8)
)  # fmt: skip
SENTENCES = (
    "[/EN#5/people Two men] with [/EN#6/clothing/scene a hat] in [/EN#8/scene a street] .\n"
    "[/EN#5/people They] look at [/EN#0/notvisual it] and [/EN#7/other the air] .\n"
)


@pytest.fixture
def paths(tmp_path):
    paths = DataPaths(tmp_path, "flickr30k")
    for folder in ("Annotations", "Sentences"):
        (paths.entities / folder).mkdir(parents=True)
    return paths


def add(paths, name, objects=OBJECTS, sentences=SENTENCES, head=""):
    annotations = f"{head}<annotation><filename>{name}.jpg</filename>{SIZE}{objects}</annotation>"
    (paths.entities / "Annotations" / f"{name}.xml").write_text(annotations, encoding="utf-8")
    (paths.entities / "Sentences" / f"{name}.txt").write_text(sentences, encoding="utf-8")
    with (paths.entities / "val.txt").open("a") as file:
        file.write(f"{name}\n")


def test_phrases_with_boxes_are_asked_for_and_the_others_counted(paths):
    add(paths, 12)
    questions = read_entities(paths, "val")
    (image,) = questions.images
    assert (image.image_id, image.size, image.path) == (12, (400, 300), None)
    assert image.phrases == ("Two men", "a hat", "They")
    assert image.types == (("people",), ("clothing", "scene"), ("people",))
    assert image.region_ids == (12_01_01, 12_01_02, 12_02_01)
    whole, column = [0, 0, 400, 300], [10, 20, 1, 10]  # counted from 1, the last one included
    assert image.boxes.tolist() == [whole, column, whole, whole, column]
    assert image.phrase_of_box.tolist() == [0, 0, 1, 2, 2]
    assert questions.not_asked == {
        "not_visual": 1, "scenes_without_box": 1, "others_without_box": 1
    }  # fmt: skip


def test_the_first_images_are_asked_for_and_others_not_counted(paths):
    add(paths, 12)
    add(paths, 13)
    questions = read_entities(paths, "val")
    assert questions.first(None) is questions
    assert [image.image_id for image in questions.first(1).images] == [12]
    assert questions.first(1).not_asked == {}


def test_photographs_are_found_by_their_id_in_any_folder(paths, tmp_path):
    names = {
        "flickr30k/images": ["12.jpg", "x.jpg"],
        "flickr8k/images": ["12_693b08cb0e.jpg", "13_0123456789.jpg"],
    }
    names["mine"] = ["12_fedcba9876.png", "13.txt"]
    for folder, files in names.items():
        (tmp_path / folder).mkdir(parents=True)
        for file in files:
            (tmp_path / folder / file).touch()
    add(paths, 12)
    add(paths, 13)
    found = [image.path for image in read_entities(paths, "val").images]
    assert found == [
        tmp_path / "flickr30k/images/12.jpg",
        tmp_path / "flickr8k/images/13_0123456789.jpg",
    ]
    mine = dataclasses.replace(paths, own_images=str(tmp_path / "mine"))
    found = [image.path for image in read_entities(mine, "val").images]
    assert found == [tmp_path / "mine/12_fedcba9876.png", None]
    with pytest.raises(FileNotFoundError, match="no such folder of images"):
        read_entities(dataclasses.replace(paths, own_images="absent"), "val")


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def test_odd_files_are_named_and_the_rest_is_read(paths, caplog):
    add(paths, 1)
    add(paths, 2, "<object>")
    add(paths, 3, head=BOMB)
    for number, folder in ((4, "Annotations"), (5, "Sentences")):
        add(paths, number)
        next((paths.entities / folder).glob(f"{number}.*")).unlink()
    with (paths.entities / "val.txt").open("a") as file:
        file.write("1\n\nabc\n6\n")
    objects = thing(box(1, 2, 3, 4), 5) + thing(box(1, 2), 5) + thing(box(1, 2, 3, 4))
    phrases = "[/EN#5/people a] [/EN#9/people b] [/EN#5/plants c] [/EN#5/people d"
    add(paths, 7, objects, phrases)
    left_out: list[Failure] = []
    first, last = read_entities(paths, "val", left_out).images
    assert (first.image_id, last.image_id, last.phrases) == (1, 7, ("a",))
    reasons = [failure.reason for failure in left_out]
    for start, words in (
        ("val.txt, photograph 2: ", "mismatched tag"),
        ("val.txt, photograph 3: ", "it has a DTD"),
        ("val.txt, photograph 4: ", "Annotations/4.xml"),
        ("val.txt, photograph 5: ", "Sentences/5.txt"),
        ("val.txt, photograph 1: ", "it is listed before"),
        ("val.txt, photograph abc: ", "invalid literal"),
        ("val.txt, photograph 6: ", "Annotations/6.xml"),
        ("7.xml, object 1: ", "invalid literal"),
        ("7.xml, object 2: ", "it has no name"),
        ("7.txt, sentence 1, phrase 2: ", "the annotations have no entity 9"),
        ("7.txt, sentence 1, phrase 3: ", "/plants is none of people, "),
        ("7.txt, sentence 1, phrase 4: ", "is no phrase"),
    ):
        reason = reasons.pop(0)
        assert reason.startswith(start), reason
        assert words in reason
    assert reasons == []
    assert "left out: val.txt, photograph 2" in caplog.text


def test_a_missing_list_and_one_without_any_phrase_say_so(paths):
    with pytest.raises(FileNotFoundError, match=r"test\.txt"):
        read_entities(paths, "test")
    add(paths, 2, "<object>")
    with pytest.raises(ValueError, match="no phrase|no photograph that has a phrase with a box"):
        read_entities(paths, "val")
