import io
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from misc.data import decoding
from misc.data.decoding import load_image, upright_size
from misc.data.image_files import FORMATS, SUFFIXES

ENCODERS = {"JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"}


def encoded(kind, image=None, **options):
    file = io.BytesIO()
    (image or Image.effect_noise((12, 8), 60).convert("RGB")).save(file, kind, **options)
    return file.getvalue()


def oriented(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_the_table_of_formats_is_what_pillow_decodes_by_itself():
    assert set(FORMATS) == ENCODERS | {"DIB"}
    assert set(SUFFIXES.values()) == ENCODERS
    assert features.check("avif") and features.check("webp")


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_each_format_is_read_whatever_its_name(tmp_path, kind):
    (tmp_path / "photo.jpg.1").write_bytes(encoded(kind))
    assert load_image(tmp_path / "photo.jpg.1").size == (12, 8)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PPM", "DDS", "ICO"])
def test_what_is_in_no_list_is_refused_and_starts_no_program(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "a.jpg").write_bytes(encoded(kind))
    with pytest.raises(ValueError, match=r"cannot read image .*a.jpg: cannot identify image file"):
        load_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_turned_and_its_size_is_known(tmp_path, kind, value):
    pixels = np.kron(
        np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), np.ones((16, 16), np.uint8)
    )
    turns = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.T,
        6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].T, 8: np.rot90(pixels),
    }  # fmt: skip
    path = tmp_path / "a.image"
    Image.fromarray(pixels).convert("RGB").save(path, kind, exif=oriented(value))
    image = load_image(path)
    assert np.abs(np.asarray(image)[:, :, 0].astype(int) - turns[value]).max() < 25
    assert upright_size(path) == image.size


def test_metadata_that_cannot_be_read_never_costs_the_pixels(tmp_path):
    """EXIF is mutated byte by byte; without it, every file shows fine."""
    exif = oriented(6)
    exif[0x010E], exif[0x8769] = "a burger with beans", {0x9000: b"0230"}
    whole = encoded("JPEG", exif=exif)
    start = whole.index(b"Exif\0\0") + 6
    rng, plain = random.Random(0), {(12, 8), (8, 12)}
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(start, start + len(exif.tobytes()) - 6)] = rng.randrange(256)
        assert load_image(io.BytesIO(bytes(data)), "a.jpg").size in plain


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    for read in (load_image, upright_size):
        with pytest.raises(ValueError, match=r"cannot read image .*a.jpg: it is a pipe"):
            read(tmp_path / "a.jpg")


def test_messages_of_open_files_have_their_names_alone():
    with pytest.raises(ValueError, match="^cannot read image 0.tar/a: cannot identify image file$"):
        load_image(io.BytesIO(b"no image"), "0.tar/a")


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_a_mutated_file_is_an_image_or_a_value_error_that_names_it(kind):
    whole, rng = encoded(kind), random.Random(0)
    read = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):  # most of it where the header is
            data[min(int(rng.expovariate(0.02)), len(data) - 1)] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            image = load_image(io.BytesIO(bytes(data)), "odd.jpg")
        except ValueError as error:
            assert str(error).startswith("cannot read image odd.jpg: ")
            continue
        assert image.mode == "RGB"
        read += 1
    assert 0 < read < 2000


@pytest.mark.parametrize("transparency", [None, 65535])
def test_sixteen_bits_with_transparency_keep_their_grey(tmp_path, transparency):
    grey = np.array([[128 * 256, 200 * 256], [65535, 0]], np.uint16)
    options = {} if transparency is None else {"transparency": transparency}
    Image.fromarray(grey).save(tmp_path / "a.png", **options)
    image = load_image(tmp_path / "a.png")
    assert np.asarray(image)[:, :, 0].tolist() == [[128, 200], [255, 0]]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 25600, 65535]], np.int32), [0, 100, 255]),
        (np.array([[0, 100 << 23, (1 << 31) - 1]], np.int32), [0, 100, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 127, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
    ],
)
def test_thirty_two_bits_are_scaled_not_clipped(tmp_path, numbers, expected):
    Image.fromarray(numbers).save(tmp_path / "a.tiff")
    assert np.asarray(load_image(tmp_path / "a.tiff"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("number", [np.nan, -3.0])
def test_numbers_that_are_no_colours_are_refused_with_a_reason(tmp_path, number):
    Image.fromarray(np.array([[0.0, number]], np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="a.tiff: its numbers, .* are no colours"):
        load_image(tmp_path / "a.tiff")


def test_large_photographs_are_read_at_half_their_size_up_to_twice_the_limit(tmp_path, monkeypatch):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=oriented(6))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert load_image(tmp_path / "a.jpg").size == (10, 20)
    assert upright_size(tmp_path / "a.jpg") == (20, 40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 399)
    with pytest.raises(ValueError, match="a.jpg: Image size .800 pixels. exceeds limit of 798"):
        load_image(tmp_path / "a.jpg")


def test_an_image_is_scaled_down_to_a_longest_side_if_asked(tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg", longest=10).size == (10, 5)
    assert load_image(tmp_path / "a.jpg", longest=100).size == (40, 20)


def test_only_read_item_catches_everything():
    assert "except" not in Path(decoding.__file__).read_text(encoding="utf-8")
