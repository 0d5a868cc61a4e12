import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from misc.data.own_captions import read_caption_file
from misc.runtime.failures import Failure


@pytest.fixture
def photos(tmp_path):
    for name in ("1.png", "2.png", "3.png", "42.jpg"):
        shade = int(name.split(".")[0])
        Image.new("RGB", (4, 4), (shade, 0, 0)).save(tmp_path / name)
    return tmp_path


def read(photos, name, text):
    (photos / name).write_text(text, encoding="utf-8")
    found = read_caption_file(str(photos / name), str(photos), ("train", "val", "test"))
    return {image.path.name: image.captions for image in found}


def test_quotes_are_letters_in_a_tsv(photos, caplog):
    rows = 'image\tcaption\n1.png\t"a dog\n2.png\ta "big" cat\n3.png\ta cow"\n'
    assert read(photos, "a.tsv", rows) == {
        "1.png": ('"a dog',),
        "2.png": ('a "big" cat',),
        "3.png": ('a cow"',),
    }
    assert not caplog.text


def test_a_stray_quote_in_a_csv_is_told_with_the_lines_that_it_joins(photos, caplog):
    rows = 'image,caption\n1.png,"a dog\n2.png,a cat\n3.png,a "cow\n42.jpg,a bird\n'
    assert read(photos, "a.csv", rows) == {"42.jpg": ("a bird",)}
    assert "a.csv, lines 2 to 4: ',' expected after '\"', in quotes from there on" in caplog.text


def test_a_file_that_ends_within_a_quote_is_told(photos, caplog):
    assert read(photos, "a.csv", 'image,caption\n1.png,a dog\n2.png,"a cat\n') == {
        "1.png": ("a dog",)
    }
    assert "a.csv, line 3: unexpected end of data" in caplog.text


def test_line_breaks_in_quotes_are_kept_and_told(photos, caplog):
    found = read(photos, "a.csv", 'image,caption\n1.png,"a dog\nand a cat"\n2.png,a cow\n')
    assert found == {"1.png": ("a dog\nand a cat",), "2.png": ("a cow",)}
    assert "a.csv: 1 rows have line breaks, lines 2 to 3" in caplog.text


def test_surplus_fields_are_told_with_their_line(photos, caplog):
    assert read(photos, "a.csv", "image,caption\n1.png,a dog, running\n2.png,a cow\n") == {
        "2.png": ("a cow",)
    }
    assert "a.csv, line 2: 3 fields, and there are 2 columns" in caplog.text


def test_a_row_that_is_cut_is_told_with_its_line_and_not_put_into_a_split_by_chance(photos, caplog):
    rows = "image,caption,split\n1.png,a dog\n\n2.png,a cow,test\n3.png\n42.jpg,a bird,\n"
    assert read(photos, "a.csv", rows) == {"2.png": ("a cow",), "42.jpg": ("a bird",)}
    assert "a.csv, line 2: 2 fields, and there are 3 columns" in caplog.text
    assert "a.csv, line 5: 1 fields, and there are 3 columns" in caplog.text


def test_objects_may_have_several_captions_numbers_of_images_and_keys_of_their_own(photos, caplog):
    objects = [
        {"image": "1.png"},
        {"image": "1.png", "captions": ["a dog", "a puppy", ""]},
        {"image": 42.0, "caption": "a bird"},  # as of a table with gaps
        {"filepath": "2.png", "title": "a cat"},
        [1],
    ]
    expected = {"1.png": ("a dog", "a puppy"), "42.jpg": ("a bird",), "2.png": ("a cat",)}
    lines = "\n".join(json.dumps(entry) for entry in objects) + "\n{cut"
    assert read(photos, "a.jsonl", lines) == expected
    for reason in (
        "line 1: no column for the caption",
        "line 2: the caption is empty",
        "line 5: it is no JSON object",
        "line 6: it is no JSON object",
    ):
        assert f"a.jsonl, {reason}" in caplog.text
    assert read(photos, "a.json", json.dumps(objects)) == expected  # as of BLIP


def test_columns_of_open_clip_are_known(photos):
    assert read(photos, "a.csv", "filepath\ttitle\n1.png\ta dog\n") == {"1.png": ("a dog",)}


def test_odd_entries_of_karpathys_and_cocos_files_are_named(photos, caplog):
    caplog.set_level(logging.WARNING)
    good = {"filepath": None, "filename": "1.png", "sentences": [{"raw": "a dog"}], "split": "val"}
    content = {"images": [good, {"filename": "2.png"}, None]}
    assert read(photos, "k.json", json.dumps(content)) == {"1.png": ("a dog",)}
    assert "k.json, image 1: there is no 'sentences'" in caplog.text
    content = {"images": [{**good, "sentences": [{"raw": "a dog"}, {}, "x"]}]}
    assert read(photos, "s.json", json.dumps(content)) == {"1.png": ("a dog",)}
    assert caplog.text.count("s.json, image 1.png: the caption is empty") == 2
    dog = {"id": 5, "image_id": "1", "caption": "a dog"}
    coco = {
        "images": [{"id": 1, "file_name": "1.png"}, {"file_name": "2.png"}, None],
        "annotations": [dog, {"id": 6}, "x", {**dog, "image_id": 9}],
    }
    assert read(photos, "c.json", json.dumps(coco)) == {"1.png": ("a dog",)}
    for reason in (
        "image 1: there is no 'id'",
        "image 2: ",
        "annotation 1: there is no 'image_id'",
        "annotation 2: ",
        "annotation 3: the file lists no image 9",
    ):
        assert caplog.text.count(f"c.json, {reason}") == 1, reason


def test_text_files_without_a_caption_are_named_with_their_image(photos, caplog):
    (photos / "1.txt").write_text("a dog\u2028and a cat\r\n\na cow\n", encoding="utf-8")
    (photos / "2.txt").write_text(" \n")
    (photos / "3.txt").write_bytes(b"\xff")
    left_out: list[Failure] = []
    found = read_caption_file("folder", str(photos), ("train", "val", "test"), left_out)
    assert [image.captions for image in found] == [("a dog\u2028and a cat", "a cow")]
    assert len(left_out) == 3
    for reason in ("2.png: 2.txt is empty", "3.png: 3.txt is not in", "42.jpg: there is no 42.txt"):
        assert f"{photos}/{reason}" in caplog.text


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_byte_in_another_encoding_costs_its_row_alone(photos, caplog, suffix):
    texts = ["a dog", "a caf\udce9", "ein Bär"]  # the second as Latin-1 has it
    separator = "," if suffix == ".csv" else "\t"
    rows = [f"{number}.png{separator}{text}" for number, text in enumerate(texts, 1)]
    rows = [f"image{separator}caption", *rows]
    if suffix == ".jsonl":
        rows = [f'{{"image": "{n}.png", "caption": "{text}"}}' for n, text in enumerate(texts, 1)]
    file = photos / f"a{suffix}"
    file.write_text("\n".join(rows), encoding="utf-8", errors="surrogateescape")
    left_out: list[Failure] = []
    found = read_caption_file(str(file), str(photos), ("train", "val", "test"), left_out)
    assert sorted(image.captions[0] for image in found) == ["a dog", "ein Bär"]
    place = f"line {2 if suffix == '.jsonl' else 3}"
    assert [failure.reason for failure in left_out] == [
        f"{file}, {place}: it has bytes that are not in UTF-8"
    ]
    assert left_out[0].reason in caplog.text


def test_an_image_that_cannot_be_compared_with_another_is_named(photos, caplog, monkeypatch):
    rows = "image,caption\n1.png,a dog\n2.png,a cat\n3.png,a cow\n"
    monkeypatch.setattr(Path, "read_bytes", refuse_second)
    assert set(read(photos, "a.csv", rows)) == {"1.png", "3.png"}
    assert "left out: 2.png: no permission" in caplog.text


def refuse_second(path):
    if path.name == "2.png":
        raise PermissionError("no permission")
    with path.open("rb") as file:
        return file.read()


@pytest.mark.parametrize(("name", "rows"), [("a.json", "["), ("a.jsonl", "")])
def test_brackets_without_end_are_no_json(photos, name, rows):
    with pytest.raises(ValueError, match=f"{name} (is not valid JSON|has neither)"):
        read(photos, name, rows + "[" * 100_000)


def test_names_that_no_file_can_have_are_told(photos, caplog):
    rows = [{"image": "\ud800.png", "caption": "a"}, {"image": "x\0", "caption": "a"}]
    lines = "\n".join(map(json.dumps, [*rows, {"image": "1.png", "caption": "a dog"}]))
    assert read(photos, "a.jsonl", lines) == {"1.png": ("a dog",)}
    assert "line 1: there is no image" in caplog.text
