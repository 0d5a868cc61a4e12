"""What a person does on the page, and sees there."""

import io

import numpy as np
from PIL import Image, ImageFilter
from playwright.sync_api import expect

WIDE = {"width": 1280, "height": 900}


def rendered(page, selector):
    """Fetch the image that an element shows."""
    source = page.locator(selector).get_attribute("src")
    return Image.open(io.BytesIO(page.request.get(source).body())).convert("RGB")


def difference(first, second):
    """Return the mean difference of two images' pixels, 0 to 255."""
    return np.abs(np.asarray(first, float) - np.asarray(second, float)).mean()


def hottest(picture):
    """Find the brightest place of a heat map, x and y as shares of the picture's size."""
    # The colours' brightness is the heat; blurred, the ring around the peak plays no part.
    brightness = np.asarray(picture.convert("L").filter(ImageFilter.BoxBlur(12)))
    y, x = np.unravel_index(brightness.argmax(), brightness.shape)
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
