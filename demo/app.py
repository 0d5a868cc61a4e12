"""Open a page in the browser: search images by a phrase, and see where it is in them.

Examples:
    python -m demo.app -p runs/toy/best.pt
    python -m demo.app -p model.pt -d photos --captions captions.txt
    python -m demo.app -p model.pt -f photos.npz --port 8000

Without images, the page shows the test images and captions of the toy set. It is served on this
machine only, and fetches nothing from others. Ctrl-C ends it.
"""

import argparse
import atexit
import dataclasses
import logging
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run, write_json
from misc.cli.arguments import positive
from misc.cli.options import (
    add_peak_sigma,
    add_word_vectors,
    common_options,
    model_options,
    script_parser,
)

if TYPE_CHECKING:
    from demo.gallery import Gallery
    from misc.embedder import Embedder

logger = logging.getLogger(__name__)


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parents = model_options(batch_size=32, texts=False), common_options(precision=None)
    parser = script_parser(__doc__, *parents, prog="python -m demo.app")
    add_word_vectors(parser)
    group = parser.add_argument_group("what is shown")
    images = group.add_mutually_exclusive_group()
    images.add_argument(
        "-d",
        "--data",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images to search: files, lists of paths, or folders with all that is in them",
    )
    images.add_argument(
        "-f",
        "--features",
        type=Path,
        metavar="FILE",
        help="the same from a file of image_features_extraction.py, with nothing left to embed",
    )
    group.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="captions from which those that fit an image are chosen, one a line",
    )
    group.add_argument("--limit", type=positive, metavar="N", help="only the first N images")
    add_peak_sigma(group)
    server = parser.add_argument_group("server")
    server.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other machines in (default: %(default)s)",
    )
    server.add_argument(
        "--port", type=positive, default=7860, help="port to listen on (default: %(default)s)"
    )
    return parser


def open_gallery(args: argparse.Namespace, embedder: "Embedder") -> "Gallery":
    """Gather the images that the command line names, and the captions."""
    from demo.gallery import features_gallery, folder_gallery, read_lines, toy_gallery

    if args.features:
        gallery = features_gallery(embedder, args.features, args.limit)
    elif args.data:
        gallery = folder_gallery(embedder, args.data, args.limit, args.workers)
    else:
        gallery = toy_gallery(embedder, args.data_root, args.limit, args.workers)
    if args.captions:
        gallery = dataclasses.replace(gallery, captions=read_lines(args.captions))
    return gallery


def check_address(host: str, port: int) -> None:
    """Make sure, before any work, that the page can listen there.

    Raises:
        ValueError: if the port is taken, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"cannot listen on {host}, port {port} ({error}); --port names another"
        ) from error


def prepare_environment(host: str) -> None:
    """Settle what Gradio reads of the environment, before it is imported.

    Its temporary files go into a folder of this process, as a shared one may be another user's; and
    no proxy stands between it and its own page, which it asks whether it is up.
    """
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="dsve-page-")
        atexit.register(folder.cleanup)
        os.environ["GRADIO_TEMP_DIR"] = folder.name
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, [known, "localhost,127.0.0.1,::1", host]))


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Serve the page until Ctrl-C; return its address and what was shown.

    Raises:
        ValueError: if Gradio is not installed, or the page cannot listen on its address.
    """
    check_address(args.host, args.port)
    prepare_environment(args.host)
    try:
        from demo.page import build_page, serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("the page needs Gradio: pip install -r requirements-demo.txt") from error
    from demo.explorer import Explorer
    from misc.embedder import Embedder

    embedder = Embedder(
        args.path, args.device, args.word_vectors, args.data_root, batch_size=args.batch_size
    )
    gallery = open_gallery(args, embedder)
    page = build_page(Explorer(embedder, gallery, args.peak_sigma))
    results = {
        "url": serve(page, args.host, args.port),
        "images": len(gallery.images),
        "captions": len(gallery.captions),
    }
    write_json(results, args.json)
    logger.info("%d images on %s (Ctrl-C ends it)", len(gallery.images), results["url"])
    page.block_thread()
    return results


if __name__ == "__main__":
    run(main, get_parser())
