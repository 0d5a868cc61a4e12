import time
from pathlib import Path

import torch
from PIL import Image

from misc.pictures.outputs import TILE, output_names, write_outputs


def test_no_two_outputs_have_one_name():
    images = [Path(name) for name in ("a.jpg", "b/a.png", "a-2.jpg", "c/a.gif", "b.jpg", "a-2.png")]
    names = output_names(images)
    assert names[0] == "a" and names[4] == "b"
    assert len(set(names)) == len(names)
    assert output_names([Path("x/a.jpg")] * 3) == ["a", "a-2", "a-3"]


def test_every_name_is_that_of_a_file_in_the_folder():
    names = output_names([Path(name) for name in ("..jpg", "...png", ".hidden.jpg", "x/..jpg")])
    assert names == ["..jpg", "...png", ".hidden", "..jpg-2"]


def test_naming_many_equal_stems_takes_no_time():
    began = time.process_time()
    names = output_names([Path(f"{number}/photo.jpg") for number in range(20_000)])
    assert time.process_time() - began < 2  # it was minutes
    assert len(set(names)) == 20_000


def test_large_photographs_are_shown_small_but_places_are_those_of_their_pixels(tmp_path):
    Image.new("RGB", (4096, 2048)).save(tmp_path / "photo.jpg")
    heat = torch.zeros(2, 4, 4)
    heat[0, 0, 3] = heat[1, 3, 0] = 1.0
    found = write_outputs(
        tmp_path / "photo.jpg",
        ["right", "left"],
        heat,
        [97.0, float("nan")],
        0.1,
        0.7,
        True,
        False,
        tmp_path / "out",
    )
    right, left = found["phrases"]
    assert (right["fits_better_than"], left["fits_better_than"]) == (97.0, None)
    assert (right["peak"], left["peak"]) == ([3584.0, 256.0], [512.0, 1792.0])
    assert right["box"][0] > 2800 and right["box"][0] + right["box"][2] == 4096
    with Image.open(tmp_path / "out.png") as picture:
        assert TILE < picture.width < 3.2 * TILE  # three tiles beside each other
        assert picture.height < TILE
