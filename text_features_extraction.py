"""Embed texts: a file with a text a line in, one unit row a text out.

Examples:
    python text_features_extraction.py -p runs/toy/best.pt -d captions.txt -o captions.npz
    python text_features_extraction.py -p best_model.pth.tar -d captions.txt -o captions.pkl
    python text_features_extraction.py -p best_model.pth.tar -d old.txt --encoding latin-1

A line without a word, or in another encoding, is left out and listed, with the reason, beside the
output; the exit status is 3 then. Names are the texts.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from misc.cli import run
from misc.cli.options import common_options, model_options, script_parser
from misc.cli.output_options import output_options

if TYPE_CHECKING:
    import torch

    from misc.features.extraction import NamedBatch


def get_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = script_parser(
        __doc__,
        model_options(batch_size=256, required=False),
        output_options("text_embeddings.npz"),
        common_options(precision="auto"),
    )
    parser.add_argument("-d", "--data", type=Path, metavar="FILE", help="file with a text a line")
    parser.add_argument(
        "--encoding", default="utf-8", help="of the file's characters (default: %(default)s)"
    )
    return parser


def read_lines(file: Path, encoding: str = "utf-8") -> list[str]:
    """Read the lines of a text file, without a byte order mark; bytes in another encoding stay.

    Raises:
        ValueError: if the file is empty, or cannot be cut into lines in this encoding.
    """
    data = file.read_bytes()
    try:
        text = data.decode(encoding, errors="surrogateescape").removeprefix("\ufeff")
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


def sample(lines: list[str]) -> list[str]:
    """Take some lines that can be embedded."""
    from misc.data.entries import UNDECODED

    return [line for line in lines if line.strip() and not UNDECODED.search(line)][:256]


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Extract, report and return how many texts were embedded and left out."""
    from misc.features.extraction import check_request
    from misc.features.shards import PATIENCE, verify
    from misc.runtime.device import select_device
    from misc.runtime.distributed import process_group

    if args.verify:
        return verify(args.output)
    check_request(args)
    with process_group(select_device(args.device), PATIENCE) as device:
        return extract_lines(args, device)


def extract_lines(args: argparse.Namespace, device: "torch.device") -> dict[str, Any]:
    """Embed the lines of the file, into one file or into the parts of a folder."""
    from misc.data.paths import DataPaths
    from misc.features.extraction import embed_lines, extract, is_folder
    from misc.features.plans import list_hash, plan_of
    from misc.features.shards import extract_parts, part_file, parts_of
    from misc.features.writing import check_output
    from misc.inference.acceleration import accelerate_for, precision_of
    from misc.inference.encode import encode_texts
    from misc.inference.loading import load_with_words

    lines = read_lines(args.data, args.encoding)
    folder = is_folder(args.output)
    check_output(part_file(args.output, 0) if folder else args.output, folder or args.force)
    paths = DataPaths(args.data_root)
    model, word_vectors = load_with_words(args.path, device, paths, args.word_vectors)
    fast = accelerate_for(
        len(lines),
        model,
        args.precision,
        lambda model: encode_texts(model, sample(lines), word_vectors, quiet=True),
    )

    def embed(part: range) -> "Iterable[NamedBatch]":
        chosen = lines[part.start : part.stop]
        options = args.batch_size, args.first_sentence, part.start
        return embed_lines(fast, chosen, word_vectors, *options)

    if not folder:
        return extract(args, len(lines), embed(range(len(lines))), model.config.embedding_dim)
    inputs = {
        "first_sentence": args.first_sentence,
        "inputs": list_hash(lines),
        "word_vectors": word_vectors.fingerprint(),
    }
    plan = plan_of(args, model, precision_of(fast), inputs)
    parts = parts_of(args.output, len(lines), args.shard_size, state=lambda part: "")
    return extract_parts(args, plan, parts, embed, model.config.embedding_dim)


if __name__ == "__main__":
    run(main, get_parser())
