"""Take a picture of the page, as a reader of the README sees it.

Examples:
    python -m demo.screenshot docs/page.png -p runs/toy/best.pt
"""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run
from misc.config import default_data_root

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZE: Any = {"width": 1280, "height": 800}  # pixels; the picture is as high as the page
QUESTION = "a whale and a pizza"
PHRASES = "a whale, a pizza"


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.screenshot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, metavar="PNG", help="file that is written")
    parser.add_argument(
        "-p", "--path", type=Path, required=True, help="a checkpoint, trained on the toy set"
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=default_data_root(),
        help="folder that holds the toy set (default: %(default)s)",
    )
    return parser


def take_screenshot(browser: "Browser", url: str, output: Path) -> None:
    """Search, look closer, ask, and write a picture of the whole page, 1280 pixels wide."""
    from PIL import Image

    from misc.pictures.png import save_small_png

    page = browser.new_page(viewport=SIZE)
    page.goto(url)
    page.get_by_label("Look for").fill(QUESTION)
    page.get_by_label("Look for").press("Enter")
    page.get_by_text(f"images for “{QUESTION}”").wait_for()
    page.locator("#found button").first.click()
    page.locator("#picture img").wait_for()
    page.get_by_label("Where is …").fill(PHRASES)
    page.get_by_label("Where is …").press("Enter")
    page.locator("#answers img").first.wait_for()
    page.get_by_label("Where is …").blur()
    page.wait_for_function("[...document.images].every(image => image.complete)")
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
        save_small_png(picture, output)
    page.close()


def main(args: argparse.Namespace) -> Path:
    """Start the page, write its picture, and return where that is.

    Raises:
        FileNotFoundError: if there is no Chromium.
        ValueError: if Playwright is missing, or the page does not start.
    """
    try:
        from demo.browser import browsing, serving
    except ModuleNotFoundError as error:
        if error.name != "playwright":
            raise
        raise ValueError(
            "a screenshot needs Playwright: pip install -r requirements-dev.txt"
        ) from error
    with browsing() as browser, serving(["-p", args.path, "--data-root", args.data_root]) as url:
        take_screenshot(browser, url, args.output)
    output: Path = args.output
    return output


if __name__ == "__main__":
    run(main, get_parser())
