import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from misc.pictures.heat_maps import COLORMAP, colorize, mark_box, mark_peak, overlay
from misc.pictures.panels import localization_panel, panel


def test_colors_run_from_the_lowest_to_the_highest_value():
    heat = torch.tensor([[-3.0, 0.5, 4.0]])
    colors = np.asarray(colorize(heat, (3, 1)))
    expected = mpl.colormaps[COLORMAP]([0.0, 0.5, 1.0], bytes=True)[None, :, :3]
    assert (colors == expected).all()


def test_a_flat_heat_map_has_the_lowest_color_all_over():
    colors = np.asarray(colorize(torch.full((4, 4), 7.0), (5, 3)))
    assert (colors == mpl.colormaps[COLORMAP](0, bytes=True)[:3]).all()


@pytest.mark.parametrize("size", [(128, 128), (61, 200), (640, 427), (1, 1)])
def test_an_overlay_has_the_size_of_its_image(size):
    assert overlay(Image.new("RGB", size), torch.randn(13, 13)).size == size


def test_heat_lies_where_the_heat_map_is_high():
    heat = torch.zeros(8, 8)
    heat[6, 1] = 1
    brightness = np.asarray(overlay(Image.new("RGB", (80, 160), "gray"), heat).convert("L"))
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert (row // 20, column // 10) == (6, 1)


@pytest.mark.parametrize("ground", ["black", "white"])
def test_marks_are_seen_on_dark_and_light_where_they_belong(ground):
    image = Image.new("RGB", (200, 100), ground)
    mark_peak(image, (150.0, 50.0))
    mark_box(image, (10, 20, 60, 40))
    changed = np.asarray(image.convert("L")) != (255 if ground == "white" else 0)
    assert changed[45:56, 145:156].any()
    assert changed[20:24, 11:69].any(axis=0).all()  # the box's upper edge
    assert not changed[30:50, 20:60].any()  # nor is it filled
    assert not changed[:, 80:140].any()


def test_marks_may_touch_the_edges_and_a_box_may_be_empty():
    image = Image.new("RGB", (20, 20))
    before = np.asarray(image).copy()
    mark_box(image, (0, 0, 0, 0))
    assert (np.asarray(image) == before).all()
    mark_box(image, (0, 0, 20, 20))
    mark_peak(image, (0.0, 20.0))


def contains(picture, tile):
    large, small = np.asarray(picture), np.asarray(tile)
    height, width = small.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(large, small.shape)[:, :, 0]
    starts = np.argwhere((windows[..., 0, 0, :] == small[0, 0]).all(-1))
    return any((large[y : y + height, x : x + width] == small).all() for y, x in starts)


def test_a_panel_holds_all_tiles_at_their_size_whatever_their_titles():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (6, 30, 40, 3), dtype=np.uint8)
    tiles = [Image.fromarray(one) for one in pixels]
    titles = ["", "a dog", "a very long title that needs many lines", "Ж ε é", "x" * 50, "\n"]
    picture = panel(list(zip(titles, tiles, strict=True)))
    assert all(contains(picture, tile) for tile in tiles)


def test_a_localization_panel_has_the_image_and_a_tile_a_phrase():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    heat, points = torch.randn(2, 4, 4), torch.tensor([[10.0, 20.0], [60.0, 40.0]])
    plain = localization_panel(image, "a.jpg", ["a dog", "a cat"], heat, points)
    boxed = localization_panel(
        image, "a.jpg", ["a dog", "a cat"], heat, points, torch.tensor([[5, 5, 20, 20]] * 2)
    )
    assert contains(plain, image)
    assert plain.size == boxed.size
    assert plain.width > 3 * 70
    assert (np.asarray(plain) != np.asarray(boxed)).any()
