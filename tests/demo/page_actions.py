"""What a person does on the page, and sees there."""

import io

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageFilter
from playwright.sync_api import expect

from misc.pictures.heat_maps import COLORMAP

WIDE = {"width": 1280, "height": 900}


def rendered(page, selector):
    """Fetch the image that an element shows."""
    source = page.locator(selector).get_attribute("src")
    return Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB")


def difference(first, second):
    """Return the mean difference of two images' pixels, 0 to 255."""
    return np.abs(np.asarray(first, float) - np.asarray(second, float)).mean()


def hottest(picture):
    """Find the hottest place of a picture at full strength, x and y as shares of its size."""
    # Blurred, the marks of the peaks play no part.
    pixels = np.asarray(picture.filter(ImageFilter.BoxBlur(12)), float)
    distance = np.abs(pixels - mpl.colormaps[COLORMAP](1.0, bytes=True)[:3]).sum(axis=2)
    y, x = np.unravel_index(distance.argmin(), distance.shape)
    return x / picture.width, y / picture.height


def search(page, text):
    page.get_by_label("Look for").fill(text)
    page.get_by_label("Look for").press("Enter")
    expect(page.get_by_text(f"The best of 300 images for “{text}”")).to_be_visible()


def upload(page, file):
    page.locator("#upload input[type=file]").set_input_files(file)
    expect(page.get_by_text("Now ask where things are in it.")).to_be_visible()
    expect(page.locator("#upload input[type=file]")).to_be_attached()  # for the next file


def ask(page, text, answers):
    page.get_by_label("Where is …").fill(text)
    page.get_by_label("Where is …").press("Enter")
    expect(page.locator("#answers img")).to_have_count(answers)
    expect(page.get_by_text("Where each phrase would be")).to_be_visible()


def set_strength(page, strength):
    """Set the slider; wait until the first answer has been blended anew."""
    before = page.locator("#answers img").first.get_attribute("src")
    page.get_by_label("number input for Strength of the heat maps").fill(str(strength))
    page.keyboard.press("Tab")
    expect(page.locator("#answers img").first).not_to_have_attribute("src", before)
