"""The page in a process of its own, and a headless Chromium to look at it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 180  # seconds until the page must answer; a big gallery is embedded before
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find_chromium() -> str:
    """Say where Chromium or Chrome is installed.

    Raises:
        FileNotFoundError: if it is not.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no Chromium on the path; on Debian: apt-get install chromium")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ValueError(f"the page ended with status {process.returncode} as it started")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise TimeoutError(f"no answer from {url} in {PATIENCE} seconds")


@contextlib.contextmanager
def serving(
    arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Start the page with command line arguments, give its address, and end it afterwards.

    Args:
        arguments: of ``python -m demo.app``, without a port.
        environment: variables that are set for the page only.

    Raises:
        ValueError: if the page ends instead.
        TimeoutError: if it does not answer in three minutes.
    """
    port = _free_port()
    command = [sys.executable, "-m", "demo.app", *map(str, arguments), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(environment or {})})
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Start a headless Chromium.

    Raises:
        FileNotFoundError: if none is installed.
    """
    executable = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
