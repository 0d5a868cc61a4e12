import io
import random
import struct

import pytest
from PIL import Image, PngImagePlugin

from misc.data.decoding import load_image
from misc.data.metadata import without_metadata


def encoded(kind, **options):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a burger"
    Image.effect_noise((12, 8), 60).convert("RGB").save(file, kind, exif=exif, **options)
    return file.getvalue()


def mutations(whole, start, length, count=500):
    """Change some of ``length`` bytes at random."""
    chance = random.Random(0)
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(start, start + length)] = chance.randrange(256)
        yield bytes(data)


def png(text, compressed=False):
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", text, zip=compressed)
    return encoded("PNG", pnginfo=info)


def test_long_texts_of_png_cost_neither_the_pixels_nor_their_orientation():
    for data in (png("x" * 2_000_000, compressed=True), png("x" * 70_000_000)):
        assert load_image(io.BytesIO(data), "a.png").size == (8, 12)


def test_broken_texts_of_png_never_cost_the_pixels():
    whole = png("a burger with beans")
    for data in mutations(whole, whole.index(b"tEXt") + 4, 30):
        assert load_image(io.BytesIO(data), "a.png").size == (8, 12)


def test_a_broken_orientation_of_png_leaves_the_pixels_as_they_are():
    whole = encoded("PNG")
    place = whole.index(b"eXIf") + 8
    data = whole[:place] + b"?" + whole[place + 1 :]
    assert load_image(io.BytesIO(data), "a.png").size == (12, 8)


def test_a_broken_index_of_further_pictures_costs_no_jpeg_its_orientation():
    further = [Image.new("RGB", (12, 8))]
    whole = encoded("MPO", save_all=True, append_images=further)
    for data in mutations(whole, whole.index(b"MPF\0") + 4, 80):
        assert load_image(io.BytesIO(data), "a.jpg").size == (8, 12)


def test_broken_exif_costs_no_avif_its_pixels():
    whole = encoded("AVIF")
    for data in mutations(whole, whole.index(b"MM\0*"), 8, 100):
        assert load_image(io.BytesIO(data), "a.avif").size in {(12, 8), (8, 12)}


def test_what_is_taken_out_by_hand():
    def segment(marker, content):
        return b"\xff" + marker + struct.pack(">H", len(content) + 2) + content

    exif, profile, rest = segment(b"\xe1", b"Exif"), segment(b"\xe2", b"MPF"), b"\xff\xda\0\2pixels"
    assert without_metadata(b"\xff\xd8" + exif + profile + rest) == b"\xff\xd8" + exif + rest
    cut = b"\xff\xd8" + exif[:5]
    assert without_metadata(cut) == cut


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF"])
def test_any_part_of_a_file_may_be_missing(kind):
    whole = encoded(kind)
    for length in range(len(whole)):
        without_metadata(whole[:length])
