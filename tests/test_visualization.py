import numpy as np
import torch
from PIL import Image

from misc.visualization import colorize, localization_panel, mark_box, mark_peak, overlay


def one_hot(row, column, side=8):
    heat = torch.zeros(side, side)
    heat[row, column] = 1
    return heat


def brightness(image):
    return np.asarray(image.convert("L")).astype(int)


def test_heat_is_brightest_where_the_map_is_highest():
    grey = Image.new("RGB", (160, 80), (128, 128, 128))
    picture = brightness(overlay(grey, one_hot(1, 6)))
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert abs(column - (6 + 0.5) * 20) <= 10
    assert abs(row - (1 + 0.5) * 10) <= 5
    assert picture.shape == (80, 160)


def test_a_flat_map_is_all_in_the_lowest_colour():
    for value in (0.0, 5.0):
        colors = np.asarray(colorize(torch.full((3, 3), value), (6, 6)))
        lowest = np.asarray(colorize(one_hot(0, 0), (64, 64)))[-1, -1]
        assert (colors == lowest).all()


def test_colours_do_not_depend_on_the_scale_of_a_map():
    heat = torch.rand(5, 5, generator=torch.Generator().manual_seed(0))
    first, second = (np.asarray(colorize(h, (20, 20))).astype(int) for h in (heat, 100 * heat - 7))
    assert abs(first - second).max() <= 1


def test_peaks_and_boxes_are_seen_on_black_and_on_white():
    for ground in ("black", "white"):
        image = Image.new("RGB", (60, 60), ground)
        mark_peak(image, (30, 20))
        mark_box(image, (5, 5, 50, 40))
        values = brightness(image)
        assert (values.min(), values.max()) == (0, 255)
        assert values[17:24, 27:34].std() > 0
        assert values[5:9, 30].std() > 0


def test_a_panel_holds_the_image_and_a_tile_for_each_phrase_in_full_size():
    image = Image.new("RGB", (100, 70), (10, 200, 30))
    phrases = ["a dog", "a very long phrase that has to be broken into lines", "Ω"]
    heat = torch.stack([one_hot(1, 1)] * 3)
    points = torch.tensor([[20.0, 20.0]] * 3)
    panel = localization_panel(image, "photo.jpg", phrases, heat, points)
    assert panel.width >= 400
    pixels = np.asarray(panel)
    assert (pixels == (10, 200, 30)).all(axis=2).sum() == 7000  # the image itself, once, whole
