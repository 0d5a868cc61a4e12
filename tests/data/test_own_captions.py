import json
import logging
import shutil

import pytest
from PIL import Image

import eval_retrieval
import train
from misc.data.captions import read_captions
from misc.data.own_captions import read_caption_file
from misc.data.paths import data_paths
from tests.conftest import SMALL_TRAINING

SPLITS = ("train", "val", "test")


@pytest.fixture
def photos(tmp_path):
    """Thirty small photographs, one of them with a name that is not Latin."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        Image.new("RGB", (40, 40), (number * 8, 255 - number * 8, 99)).save(
            folder / f"{number}.png"
        )
    Image.new("RGB", (40, 40), "red").save(folder / "犬é.png")
    return folder


def captions_of(file, images, *splits):
    found = read_caption_file(str(file), str(images), splits or SPLITS)
    return {image.path.name: image.captions for image in found}


def test_a_hostile_table_gives_a_correct_set_and_says_what_was_left_out(photos, tmp_path, caplog):
    file = tmp_path / "captions.csv"
    rows = [
        "Image,Caption,split",
        "0.png,A dog on a hill,train",
        '1.png,"A ""big"" dog, two cats\r\nand a horse",val',
        "absent.png,A ghost,train",
        "2.png,   ,train",
        "3.png,a bird,somewhere",
        "犬é.png,公園にいる犬,training",
        ",nothing,train",
        "0.png,A second caption,train",
        "4.png,a cow,test",
        "0.png,in another split,test",
    ]
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    assert captions_of(file, photos, "train") == {
        "0.png": ("A dog on a hill", "A second caption"),
        "犬é.png": ("公園にいる犬",),
    }
    assert captions_of(file, photos, "val") == {"1.png": ('A "big" dog, two cats\r\nand a horse',)}
    assert captions_of(file, photos, "test") == {"4.png": ("a cow",)}
    for part in (
        "line 5: there is no image 'absent.png'",
        "line 6: the caption is empty",
        "line 7: 'somewhere' is no split",
        "line 9: no image is named",
        "line 12: '0.png' is in train, too",
    ):
        assert caplog.text.count(part) == 1, (part, caplog.text)


def test_a_wrong_column_name_is_an_error_that_lists_those_there_are(photos, tmp_path):
    file = tmp_path / "captions.tsv"
    file.write_text("picture\tcaption\n0.png\ta dog\n")
    with pytest.raises(ValueError, match="no column for the image: it has picture, caption"):
        captions_of(file, photos)


def test_all_formats_say_the_same(photos, tmp_path):
    expected = {"0.png": ("a dog", "two cats"), "1.png": ("a cow",)}
    lines = [(name, text) for name, texts in expected.items() for text in texts]
    files = {
        "a.tsv": "\n".join(["file_name\ttext", *("\t".join(line) for line in lines)]),
        "a.csv": "\n".join(["path;sentence", *(";".join(line) for line in lines)]),
        "a.jsonl": "\n".join(json.dumps({"image": n, "caption": t}) for n, t in lines) + "\n\n",
        "coco.json": json.dumps(
            {
                "images": [{"id": i, "file_name": name} for i, name in enumerate(expected)],
                "annotations": [
                    {"id": 1, "image_id": int(name[0]), "caption": text} for name, text in lines
                ],
            }
        ),
        "karpathy.json": json.dumps(
            {
                "images": [
                    {"filename": name, "sentences": [{"raw": text} for text in texts]}
                    for name, texts in expected.items()
                ]
            }
        ),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        assert captions_of(tmp_path / name, photos) == expected, name
    for name, texts in expected.items():
        (photos / name).with_suffix(".txt").write_text("\r\n".join(texts))
    assert captions_of("folder", photos) == expected


def test_a_split_may_be_missing_in_some_objects_and_no_file_can_be_called_like_a_caption(
    photos, tmp_path, caplog
):
    rows = [
        {"image": "0.png", "caption": "a dog"},
        {"image": "1.png", "caption": "a cow", "split": "test"},
        {"image": "two cats " * 40, "caption": "2.png"},
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert set(captions_of(file, photos, "test")) >= {"1.png"}
    assert set(captions_of(file, photos)) == {"0.png", "1.png"}
    assert "line 3: there is no image 'two cats" in caplog.text


def write_all(photos, file):
    names = sorted(path.name for path in photos.glob("*.png"))
    file.write_text("image,caption\n" + "".join(f"{name},a dog\n" for name in names))


def test_more_images_move_none_to_another_split(photos, tmp_path):
    write_all(photos, tmp_path / "few.csv")
    before = {split: set(captions_of(tmp_path / "few.csv", photos, split)) for split in SPLITS}
    assert sum(map(len, before.values())) == 31 and len(before["train"]) > 18
    for number in range(30, 60):
        Image.new("RGB", (40, 40), (9, 9, number)).save(photos / f"{number}.png")
    write_all(photos, tmp_path / "more.csv")
    for split in SPLITS:
        assert before[split] <= set(captions_of(tmp_path / "more.csv", photos, split))


def test_the_same_image_is_never_on_both_sides(photos, tmp_path, caplog):
    file = tmp_path / "captions.csv"
    shutil.copy(photos / "0.png", photos / "copy.png")
    file.write_text(
        "image,caption,split\n0.png,a dog,train\ncopy.png,a dog,test\n1.png,a cat,train\n"
    )
    assert set(captions_of(file, photos, "train")) == {"1.png"}
    assert set(captions_of(file, photos, "test")) == {"copy.png"}
    assert "0.png is the same image as copy.png, which is in test" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"image,caption\n\xff\xfe,x\n", "not one row can be used"),
        ("a.tsv", "image\tcaption\n".encode("utf-16"), "a.tsv: it has bytes that are not in UTF-8"),
        ("a.jsonl", b"\xff\xfe", "line 1: it has bytes that are not in UTF-8"),
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[1]", "neither COCO's captions nor Karpathy's splits"),
        ("a.csv", b"", "no column for the image: it has none"),
        ("a.csv", b"image,caption\n", "not one row can be used"),
        ("a.xlsx", b"x", "captions are in .jsonl"),
    ],
)
def test_files_that_are_none_are_refused(photos, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        captions_of(tmp_path / name, photos)


def test_what_is_missing_is_said(photos, tmp_path, toy_root):
    with pytest.raises(FileNotFoundError, match="no captions at"):
        captions_of(tmp_path / "absent.csv", photos)
    with pytest.raises(FileNotFoundError, match="no such folder of images"):
        captions_of("folder", tmp_path / "absent")
    with pytest.raises(ValueError, match="needs --captions FILE"):
        read_captions(data_paths(toy_root, "captions"), ("val",))


def test_a_model_is_trained_and_scored_on_captions_of_ones_own(photos, tmp_path, toy_root, caplog):
    caplog.set_level(logging.INFO)
    write_all(photos, tmp_path / "all.csv")
    own = (
        f"--dataset captions --captions {tmp_path}/all.csv --images {photos} --data-root {toy_root}"
    )
    options = f"{SMALL_TRAINING} {own} --epochs 1 --batch-size 8 -n own"
    options += f" --runs {tmp_path} --warmup-loss all"
    train.main(train.get_parser().parse_args(options.split()))
    command = f"-p {tmp_path}/own/best.pt {own} --split test --image-size 32 --workers 0"
    results = eval_retrieval.main(eval_retrieval.get_parser().parse_args(command.split()))
    assert results["t2i/R@10"] > 0


def test_a_name_that_is_no_utf_8_costs_one_row(photos, tmp_path, caplog):
    rows = [{"image": name, "caption": "a dog"} for name in ("\ud800.png", "0.png")]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(captions_of(tmp_path / "captions.jsonl", photos)) == ["0.png"]
    assert "there is no image '\\ud800.png'" in caplog.text
