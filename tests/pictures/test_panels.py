import numpy as np
import pytest
import torch
from PIL import Image

from misc.pictures.heat_maps import OPACITY, mark_peaks, overlay
from misc.pictures.panels import contact_sheet, localization_panel, panel
from misc.pictures.presence import FAINT


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
    heat, points = torch.randn(2, 4, 4), torch.tensor([[[10.0, 20.0]] * 2, [[60.0, 40.0]] * 2])
    inputs = image, "a.jpg", ["a dog", "a cat"], heat, points, [float("nan"), 99.0]
    plain = localization_panel(*inputs)
    boxed = localization_panel(*inputs, torch.tensor([[5, 5, 20, 20]] * 2))
    assert contains(plain, image)
    assert plain.size == boxed.size
    assert plain.width > 3 * 70
    assert (np.asarray(plain) != np.asarray(boxed)).any()


def test_a_contact_sheet_has_every_image_below_its_heading():
    generator = np.random.default_rng(0)
    square = [Image.fromarray(generator.integers(0, 256, (224, 224, 3), np.uint8)) for _ in "abc"]
    wide = Image.new("RGB", (500, 100), "red")
    sheet = contact_sheet(
        [("a dog " * 60, [("1", square[0]), ("2", wide)]), ("", [("", square[1])])]
    )
    pixels = np.asarray(sheet)
    assert contains(sheet, square[0])
    assert contains(sheet, square[1])
    assert not contains(sheet, square[2])
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == pytest.approx(224 * 45, rel=0.05)


def test_a_contact_sheet_has_tiles_and_rows_of_the_size_asked_for():
    tiles = [("", Image.new("RGB", (80, 60), color)) for color in ("red", "lime", "blue")]
    pixels = np.asarray(contact_sheet([("a dog", tiles)], tile_size=(80, 60), in_row=2))
    assert 2 * 80 < pixels.shape[1] < 3 * 80
    tops = [np.argwhere((pixels == color).all(axis=2)).min(axis=0) for color in np.eye(3) * 255]
    assert tops[0][0] == tops[1][0] < tops[2][0]
    assert tops[0][1] == tops[2][1] < tops[1][1]


def test_what_is_probably_not_there_is_drawn_faint():
    image, heat = Image.new("RGB", (90, 90), "teal"), torch.zeros(1, 3, 3)
    heat[0, 2, 2] = 1
    expected = {float("nan"): OPACITY, 99.0: OPACITY, 10.0: FAINT * OPACITY}
    for percent, opacity in expected.items():
        tile = overlay(image, heat[0], opacity)
        mark_peaks(tile, (5.0, 5.0), (5.0, 5.0))
        points = torch.full((1, 2, 2), 5.0)
        assert contains(localization_panel(image, "", [""], heat, points, [percent]), tile)
