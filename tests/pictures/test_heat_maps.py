import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from misc.pictures.heat_maps import COLORMAP, colorize, mark_box, mark_peaks, overlay


def test_colors_and_opacity_run_from_the_lowest_to_the_highest_value():
    heat = torch.tensor([[-3.0, 0.5, 4.0]])
    layer = np.asarray(colorize(heat, (3, 1), 0.8))[0]
    assert (layer[:, :3] == mpl.colormaps[COLORMAP]([0.0, 0.5, 1.0], bytes=True)[:, :3]).all()
    assert layer[:, 3].tolist() == [round(255 * 0.8 * share) for share in (0, 0.5**1.5, 1)]


def test_an_overlay_mixes_colours_by_the_heat_and_leaves_cold_places_alone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1, 3, 3), dtype=np.uint8))
    before = np.asarray(image, float)[0]
    after = np.asarray(overlay(image, torch.tensor([[7.0, 8.0, 9.0]]), 0.8), float)[0]
    colors = mpl.colormaps[COLORMAP]([0.0, 0.5, 1.0], bytes=True)[:, :3]
    opacity = 0.8 * np.array([0, 0.5**1.5, 1])[:, None]
    assert (after[0] == before[0]).all()
    assert np.abs(after - (opacity * colors + (1 - opacity) * before)).max() <= 1.5
    assert (np.asarray(image) == before).all()  # the image itself is left alone


def test_a_flat_heat_map_and_no_opacity_leave_the_image_as_it_is():
    image = Image.new("RGB", (5, 3), "teal")
    assert overlay(image, torch.full((4, 4), 7.0)) == image
    assert overlay(image, torch.randn(4, 4), 0.0) == image


@pytest.mark.parametrize("size", [(128, 128), (61, 200), (640, 427), (1, 1)])
def test_an_overlay_has_the_size_of_its_image(size):
    assert overlay(Image.new("RGB", size), torch.randn(13, 13)).size == size


def test_heat_lies_where_the_heat_map_is_high():
    heat = torch.zeros(8, 8)
    heat[6, 1] = 1
    picture = np.asarray(overlay(Image.new("RGB", (80, 160), "gray"), heat), int)
    changed = np.abs(picture - 128).sum(axis=2)
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert [row // 20, column // 10] == [6, 1]


@pytest.mark.parametrize("ground", ["black", "white"])
def test_marks_are_seen_on_dark_and_light_where_they_belong(ground):
    image = Image.new("RGB", (200, 100), ground)
    mark_peaks(image, (150.0, 50.0), (150.0, 50.0))
    mark_box(image, (10, 20, 60, 40))
    changed = np.asarray(image.convert("L")) != (255 if ground == "white" else 0)
    assert changed[45:56, 145:156].any()
    assert changed[20:24, 11:69].any(axis=0).all()  # the box's upper edge
    assert not changed[30:50, 20:60].any()  # nor is it filled
    assert not changed[:, 80:140].any()


def test_the_first_peak_gets_a_dot_and_the_second_a_ring():
    image = Image.new("RGB", (200, 100), "gray")
    mark_peaks(image, (50.0, 50.0), (150.0, 50.0))
    assert image.getpixel((50, 50)) == (255, 255, 255)
    assert image.getpixel((54, 50)) == (128, 128, 128)  # beside the dot
    assert image.getpixel((150, 50)) == (128, 128, 128)  # within the ring
    assert image.getpixel((150 - 4, 50)) == (255, 255, 255)


def test_marks_may_touch_the_edges_and_a_box_may_be_empty():
    image = Image.new("RGB", (20, 20))
    before = np.asarray(image).copy()
    mark_box(image, (0, 0, 0, 0))
    assert (np.asarray(image) == before).all()
    mark_box(image, (0, 0, 20, 20))
    mark_peaks(image, (0.0, 20.0), (20.0, 0.0))
