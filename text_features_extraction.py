"""Embed texts: a file with a text a line in, one unit row a text out.

Examples:
    python text_features_extraction.py -p runs/toy/best.pt -d captions.txt -o captions.npz
    python text_features_extraction.py -p best_model.pth.tar -d captions.txt -o captions.pkl
    python text_features_extraction.py -p best_model.pth.tar -d old.txt --encoding latin-1

A line without a word is left out and listed, with the reason, beside the output; the exit status
is 3 then. Names are the texts.
"""

import argparse
from pathlib import Path
from typing import Any

from misc.cli import common_options, model_options, output_options, run
from misc.config import DataPaths


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[
            model_options(batch_size=256),
            output_options("text_embeddings.npz"),
            common_options(),
        ],
    )
    parser.add_argument(
        "-d", "--data", type=Path, required=True, metavar="FILE", help="file with a text a line"
    )
    parser.add_argument(
        "--encoding", default="utf-8", help="of the file's characters (default: %(default)s)"
    )
    return parser


def read_lines(file: Path, encoding: str = "utf-8") -> list[str]:
    """Read the lines of a text file, without a byte order mark.

    Raises:
        ValueError: if the file is empty, or a line is in another encoding; the line is named.
    """
    data = file.read_bytes()
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise ValueError(f"--encoding {encoding}: Python knows no such encoding") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} of {file} is not {encoding} ({error.reason} at byte {error.start}); "
            "--encoding names another encoding, such as latin-1 or utf-16"
        ) from error
    if not text.strip():
        raise ValueError(f"{file} has no text")
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Extract, report and return how many texts were embedded and left out."""
    from misc.embeddings import check_output
    from misc.encode import load_with_words
    from misc.extraction import embed_lines, extract
    from misc.runtime import select_device

    device = select_device(args.device)
    lines = read_lines(args.data, args.encoding)
    check_output(args.output, args.force, lines)
    model, word_vectors = load_with_words(
        args.path, device, DataPaths(args.data_root), args.word_vectors
    )
    batches = embed_lines(
        model, lines, word_vectors, args.batch_size, args.precision, args.first_sentence
    )
    return extract(args, lines, batches, model.config.embedding_dim)


if __name__ == "__main__":
    run(main, get_parser())
