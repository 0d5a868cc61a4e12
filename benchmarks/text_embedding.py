"""Text embedding: captions in batches of 160, four layers of 2400, against the sru package.

python -m benchmarks.text_embedding --captions captions.txt
python -m benchmarks.text_embedding --quick
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import agreement, inputs
from benchmarks.sides import Side, Work, measure
from benchmarks.table import Row, get_parser, report
from misc.cli import run

BATCH = 160
LIMITS = {"float32": (2.5, 0.99999), "bfloat16": (6.0, 0.999)}  # least ratio, least cosine


def ours(path: Path, texts: Sequence[str], precision: str) -> Work:
    from misc.checkpoints.checkpoint import load_model
    from misc.inference.acceleration import accelerate
    from misc.inference.encode import encode_texts

    model = accelerate(load_model(path), precision)
    words = inputs.word_vectors(texts, model.config.word_dim)
    return lambda: encode_texts(model, texts, words, BATCH, quiet=True).numpy()


def naive(path: Path, texts: Sequence[str]) -> Work:
    import torch

    from benchmarks.naive import NaiveTextEncoder, encode_texts
    from misc.checkpoints.checkpoint import load_model

    model = load_model(path)
    encoder = NaiveTextEncoder(model)
    words = inputs.word_vectors(texts, model.config.word_dim)

    @torch.inference_mode()
    def work():
        return encode_texts(encoder, texts, words, BATCH).numpy()

    return work


def main(args: argparse.Namespace) -> None:
    texts = inputs.captions((2 if args.quick else 4) * BATCH, args.captions)
    rows = []
    with inputs.folder() as folder:
        settings = {
            "path": inputs.save_model(folder, inputs.model_config(args.quick)),
            "texts": texts,
        }
        for precision, (min_ratio, cosine) in LIMITS.items():
            sides = {
                "ours": Side(ours, {**settings, "precision": precision}),
                "naive": Side(naive, settings),
            }
            figures = measure(sides, rounds=5, agree=agreement.cosine(cosine))
            work = f"text embedding, batch {BATCH}, {precision}"
            rows.append(Row.rates(work, "captions/s", figures, len(texts), min_ratio=min_ratio))
    report(rows, args)


if __name__ == "__main__":
    run(main, get_parser(__doc__, captions=True))
