"""All benchmarks, each in a process of its own: one table, and benchmarks/results.md.

    python -m benchmarks --captions captions.txt
    python -m benchmarks --quick

A quick run writes no file. What was learnt is in benchmarks/notes.md, which goes below the table.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import inputs
from benchmarks.machine import description
from benchmarks.table import format_table, get_parser, read_rows
from misc.cli import run

MODULES = (
    "image_embedding",
    "text_embedding",
    "retrieval",
    "evaluation",
    "pointing",
    "segmentation",
    "word_vectors",
    "tokenizing",
    "image_reading",
    "training_step",
    "strided_convolutions",
    "images_and_pairs",
    "start_up",
    "localization_memory",
    "extraction_memory",
)
OF_TEXTS = ("text_embedding", "tokenizing")  # those that take --captions
RESULTS, NOTES = Path("benchmarks/results.md"), Path("benchmarks/notes.md")


def main(args: argparse.Namespace) -> None:
    # Like Ctrl-C, after which subprocess.run ends what it runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = []
    with inputs.folder() as folder:
        for module in MODULES:
            file = folder / f"{module}.json"
            command = [sys.executable, "-m", f"benchmarks.{module}", "--json", file]
            command += ["--quick"] if args.quick else []
            command += ["--captions", args.captions] if args.captions and module in OF_TEXTS else []
            subprocess.run(list(map(str, command)), check=True)
            rows += read_rows(file)
    table = format_table(rows)
    print(table)
    if not args.quick:
        parts = ["# Benchmarks", description(), table, NOTES.read_text(encoding="utf-8").strip()]
        RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main, get_parser(__doc__, captions=True))
