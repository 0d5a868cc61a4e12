import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import image_features_extraction
from misc.checkpoints.checkpoint import load_model
from misc.cli import run
from misc.cli.scripts import LEFT_OUT_STATUS
from misc.data.transforms import evaluation_transform
from misc.features.reading import load_embeddings
from models.config import ModelConfig
from tests.scripts.miniature import noise


@pytest.fixture
def folder(tmp_path):
    """A folder as users have them."""
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    noise(0).save(folder / "01.jpg")
    noise(1).convert("CMYK").save(folder / "02 cmyk.jpg")
    noise(2).convert("L").save(folder / "03 grey.png")
    transparent = noise(3).convert("RGBA")
    transparent.putalpha(100)
    transparent.save(folder / "04 rgba.png")
    noise(4).convert("P").save(folder / "05 palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to be upright
    noise(5).save(folder / "06 turned.jpg", exif=exif)
    noise(6).save(folder / "07.JPG", format="JPEG")
    noise(7).save(folder / "08.webp")
    noise(8).save(folder / "09.bmp")
    data = (folder / "01.jpg").read_bytes()
    (folder / "10 truncated.jpg").write_bytes(data[: len(data) // 2])
    (folder / "11 text.jpg").write_text("I am no picture", encoding="utf-8")
    (folder / "12 empty.png").touch()
    (folder / "notes.txt").write_text("not for us", encoding="utf-8")
    noise(9).save(folder / "inner" / "13.jpeg")
    return folder


@pytest.fixture
def images(miniature_checkpoint):
    def extract(*arguments):
        command = ["-p", miniature_checkpoint, "--workers", 0, "--device", "cpu", *arguments]
        args = image_features_extraction.get_parser().parse_args(list(map(str, command)))
        return image_features_extraction.main(args)

    return extract


NAMES = "01.jpg|02 cmyk.jpg|03 grey.png|04 rgba.png|05 palette.png|06 turned.jpg|07.JPG|08.webp"


READABLE = [*NAMES.split("|"), "09.bmp"]


def test_every_image_that_can_be_read_has_a_row_and_the_others_a_reason(images, folder, tmp_path):
    results = images("-d", folder, "-o", tmp_path / "a.npz", "--json", tmp_path / "a.json")
    names, rows = load_embeddings(tmp_path / "a.npz")
    assert names == [str(folder / name) for name in READABLE]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(9))
    lines = (tmp_path / "a.npz.errors.jsonl").read_text(encoding="utf-8").splitlines()
    errors = {Path(e["name"]).name: e["reason"] for e in map(json.loads, lines)}
    assert set(errors) == {"10 truncated.jpg", "11 text.jpg", "12 empty.png"}
    assert "truncated" in errors["10 truncated.jpg"]
    assert "cannot identify" in errors["11 text.jpg"]
    assert (results["rows"], results["left_out"], results["dimension"]) == (9, 3, 16)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == results


def test_each_row_is_the_embedding_of_its_image(images, folder, miniature_checkpoint, tmp_path):
    images("-d", folder, "-o", tmp_path / "a.npz")
    names, rows = load_embeddings(tmp_path / "a.npz")
    model = load_model(miniature_checkpoint)
    expected = {
        "01.jpg": Image.open(folder / "01.jpg"),
        "03 grey.png": noise(2).convert("L").convert("RGB"),
        "07.JPG": Image.open(folder / "07.JPG"),
        "06 turned.jpg": Image.open(folder / "06 turned.jpg").transpose(Image.Transpose.ROTATE_270),
    }
    for name, image in expected.items():
        pixels = evaluation_transform(128, ModelConfig().image_statistics)(image)[None]
        with torch.inference_mode():
            row = model.encode_image(pixels)[0]
        torch.testing.assert_close(rows[names.index(str(folder / name))], row, rtol=0, atol=1e-5)


def test_the_batch_size_changes_nothing(images, folder, tmp_path):
    for size in (1, 8):
        images("-d", folder, "-o", tmp_path / f"{size}.npz", "-bs", size)
    one, eight = load_embeddings(tmp_path / "1.npz"), load_embeddings(tmp_path / "8.npz")
    assert one[0] == eight[0]
    torch.testing.assert_close(one[1], eight[1], rtol=0, atol=1e-6)
    errors = [(tmp_path / f"{size}.npz.errors.jsonl").read_text("utf-8") for size in (1, 8)]
    assert errors[0] == errors[1]


def test_folders_of_folders_lists_of_paths_and_images_are_sources(images, folder, tmp_path):
    images("-d", folder, "-r", "-o", tmp_path / "deep.npz")
    assert load_embeddings(tmp_path / "deep.npz")[0][-1] == str(folder / "inner" / "13.jpeg")
    listed = [folder / "09.bmp", folder / "01.jpg", tmp_path / "absent.jpg"]
    (tmp_path / "list.txt").write_text("\r\n".join(map(str, listed)) + "\n\n", encoding="utf-8")
    results = images(
        "-d", tmp_path / "list.txt", folder / "inner", folder / "08.webp", "-o", tmp_path / "l.npz"
    )
    names = load_embeddings(tmp_path / "l.npz")[0]
    assert [Path(name).name for name in names] == ["09.bmp", "01.jpg", "13.jpeg", "08.webp"]
    assert results["left_out"] == 1


def test_strict_stops_at_the_first_image_and_writes_nothing(images, folder, tmp_path):
    with pytest.raises(ValueError, match="10 truncated.jpg"):
        images("-d", folder, "-o", tmp_path / "out" / "a.npz", "--strict")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_to_embed_is_an_error(images, folder, tmp_path):
    with pytest.raises(ValueError, match="none of 1 items can be embedded: .*11 text.jpg"):
        images("-d", folder / "11 text.jpg", "-o", tmp_path / "a.npz")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"no image in .*none \(of \.jpg .*-r looks"):
        images("-d", tmp_path / "none", "-o", tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match="absent"):
        images("-d", tmp_path / "absent", "-o", tmp_path / "a.npz")
    (tmp_path / "a.xyz").write_bytes(b"GIF89a\0\xff")
    with pytest.raises(ValueError, match="neither a folder, nor an image"):
        images("-d", tmp_path / "a.xyz", "-o", tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_an_existing_output_is_kept_before_any_work(images, folder, tmp_path):
    (tmp_path / "a.npz").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="--force"):
        images("-d", folder, "-o", tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_text(encoding="utf-8") == "precious"
    images("-d", folder, "-o", tmp_path / "a.npz", "--force")
    assert len(load_embeddings(tmp_path / "a.npz")[0]) == 9


def test_the_list_of_an_earlier_run_does_not_outlive_its_errors(images, folder, tmp_path):
    images("-d", folder, "-o", tmp_path / "a.npz")
    images("-d", folder / "01.jpg", "-o", tmp_path / "a.npz", "--force")
    assert not (tmp_path / "a.npz.errors.jsonl").exists()


def test_the_exit_status_says_that_something_was_left_out(
    miniature_checkpoint, folder, tmp_path, monkeypatch, capsys
):
    def status(*arguments):
        command = [
            "extraction",
            "-p",
            miniature_checkpoint,
            "--workers",
            0,
            "--device",
            "cpu",
            *arguments,
        ]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        with pytest.raises(SystemExit) as exit:
            run(image_features_extraction.main, image_features_extraction.get_parser())
        return exit.value.code

    assert status("-d", folder, "-o", tmp_path / "a.npz") == LEFT_OUT_STATUS
    printed = capsys.readouterr().out
    assert "9 embeddings of 16 dimensions" in printed
    assert "3 left out, see" in printed
    assert "a.npz exists; --force" in status("-d", folder, "-o", tmp_path / "a.npz")


def test_workers_read_the_same_images(images, folder, tmp_path):
    images("-d", folder, "-o", tmp_path / "0.npz")
    images("-d", folder, "-o", tmp_path / "2.npz", "--workers", 2, "-bs", 3)
    alone, workers = load_embeddings(tmp_path / "0.npz"), load_embeddings(tmp_path / "2.npz")
    assert alone[0] == workers[0]
    torch.testing.assert_close(alone[1], workers[1], rtol=0, atol=1e-6)
