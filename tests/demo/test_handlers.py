import numpy as np
import pytest
import torch
from PIL import Image

from demo.explorer import View


@pytest.fixture(scope="module")
def handlers(explorer):
    pytest.importorskip("gradio", reason="pip install -r requirements-demo.txt")
    from demo.handlers import Handlers

    return Handlers(explorer)


def test_strength_blends_from_the_image_alone_to_the_hottest_cell():
    image, heat_map = Image.new("RGB", (400, 400), "teal"), torch.zeros(8, 8)
    heat_map[6, 1] = 1
    view = View(image, "", heat_map)
    assert view.picture(0) == image
    half, full = (np.asarray(view.picture(strength), int) for strength in (0.5, 1))
    assert (full[:250] == np.asarray(image)[:250]).all()  # where it is cold
    plain = np.asarray(image, int)
    assert np.abs(half - (plain + full) / 2)[270:305].max() <= 1  # above the marks
    assert np.abs(full - plain)[300:350, 50:100].mean() > 50
    assert full[325, 75].tolist() == [255, 255, 255]  # the dot on the peak
    assert View(image).picture(1) == image


def test_a_dot_marks_the_highest_cell_and_a_ring_the_peak_of_the_smoothed_map():
    heat_map = torch.zeros(8, 8)
    heat_map[0, 7], heat_map[4:7, 1:4] = 1.5, 1
    image = Image.new("RGB", (400, 400), "teal")
    view, unsmoothed = View(image, "", heat_map, sigma=0.1), View(image, "", heat_map, sigma=0.0)
    ring, white = (125 - 12, 275), (255, 255, 255)
    for each, expected in ((view, True), (unsmoothed, False)):
        picture = each.picture(1)
        assert picture.getpixel((375, 25)) == white
        assert (picture.getpixel(ring) == white) is expected


def test_an_empty_query_is_told_above_the_first_images(handlers, explorer):
    message, _, views = handlers.search("  ", 0.5)
    assert "problem" in message
    assert "Type what to look for" in message
    assert [view.file for view in views] == explorer.gallery.images[:12]


def test_a_question_needs_an_image_and_a_phrase(handlers):
    message, tiles, views = handlers.ask("a dog", None, 0.5)
    assert "Choose an image first" in message
    assert (tiles, views) == (None, [])
    message, _, _ = handlers.ask(" ", Image.new("RGB", (20, 20)), 0.5)
    assert "Type a phrase first" in message


def test_an_upload_that_is_no_image_leaves_no_image(handlers, tmp_path):
    (tmp_path / "<b>.png").write_text("no image")
    message, *rest = handlers.upload(str(tmp_path / "<b>.png"))
    assert "&lt;b&gt;.png cannot be read" in message
    assert rest == [None, None, ""]


def test_blending_again_changes_the_pictures_and_keeps_their_titles(handlers, explorer):
    from demo.handlers import blend

    views = explorer.search("a dog")
    (weak, none), (strong, _) = blend(0.0, views, []), blend(1.0, views, [])
    assert none == []
    assert [title for _, title in weak] == [title for _, title in strong]
    assert weak[0][0] == views[0].image != strong[0][0]
