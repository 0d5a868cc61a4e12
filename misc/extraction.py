"""What the two scripts that extract features have in common."""

import argparse
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from misc.cli import write_json
from misc.dataset import Failure
from misc.embeddings import EmbeddingsWriter, check_output, writing
from misc.files import replacing
from misc.runtime import autocast
from misc.text import WordVectors
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)

# Places in the list of names, their embeddings (B, D), and what could not be embedded.
Batch = tuple[list[int], Tensor, list[Failure]]


def extract(
    args: argparse.Namespace, names: Sequence[str], batches: Iterable[Batch], dimension: int
) -> dict[str, Any]:
    """Write batches of embeddings to a file as they come, and report what was left out.

    Args:
        args: what ``output_options`` and ``common_options`` gave.
        names: of all items.
        batches: places in ``names``, embeddings and failures; nothing of them is kept.
        dimension: D of the embeddings.

    Returns:
        The numbers of ``rows`` and of items ``left_out``, the ``dimension`` and the files.

    Raises:
        ValueError: if nothing could be embedded, or something could not and ``--strict`` is set.
        FileExistsError: if the file exists and ``--force`` is not set.
    """
    check_output(args.output, args.force, names)
    failures: list[Failure] = []
    with writing(args.output, dimension, args.dtype, args.force) as writer:
        for batch in batches:
            failed = _append(writer, names, batch)
            if failed and args.strict:
                raise ValueError(failed[0].reason)
            failures += failed
        if not writer.names:
            raise ValueError(f"none of {len(names)} items can be embedded: {failures[0].reason}")
    errors = _write_errors(args.output, failures)
    results = {
        "output": str(args.output),
        "rows": len(writer.names),
        "dimension": dimension,
        "left_out": len(failures),
        "errors": str(errors) if failures else None,
    }
    write_json(results, args.json)
    report = f"{len(writer.names)} embeddings of {dimension} dimensions are in {args.output}"
    print(report + (f"; {len(failures)} left out, see {errors}" if failures else ""))  # noqa: T201
    return results


def _append(writer: EmbeddingsWriter, names: Sequence[str], batch: Batch) -> list[Failure]:
    indices, embeddings, failures = batch
    finite = embeddings.isfinite().all(dim=1).tolist()
    kept = [row for row, row_is_finite in enumerate(finite) if row_is_finite]
    writer.append([names[indices[row]] for row in kept], embeddings[kept])
    return failures + [
        Failure(index, names[index], f"the embedding of {names[index]} is not finite")
        for index, row_is_finite in zip(indices, finite, strict=True)
        if not row_is_finite
    ]


def _write_errors(output: Path, failures: Sequence[Failure]) -> Path:
    """List failures beside the output; without any, remove the list of an earlier run."""
    path = output.with_name(f"{output.name}.errors.jsonl")
    path.unlink(missing_ok=True)
    if failures:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for failure in failures:
                file.write(json.dumps(vars(failure)) + "\n")
    return path


@torch.inference_mode()
def embed_lines(
    model: JointEmbedding,
    lines: Sequence[str],
    word_vectors: WordVectors,
    batch_size: int,
    precision: str = "float32",
    first_sentence: bool = False,
) -> Iterator[Batch]:
    """Embed texts batch by batch; one without a word becomes a failure.

    The share of unknown words is logged in the end.
    """
    device = next(model.parameters()).device
    words, unknown = 0, 0
    with tqdm(total=len(lines), unit="text", desc="texts", disable=None) as bar:
        for start in range(0, len(lines), batch_size):
            rows, failures = {}, []
            for index, line in enumerate(lines[start : start + batch_size], start):
                try:
                    rows[index] = word_vectors.rows(line, first_sentence)
                except ValueError as error:
                    failures.append(Failure(index, line, f"line {index + 1}: {error}"))
            words += sum(map(len, rows.values()))
            unknown += sum(int((text == word_vectors.unknown).sum()) for text in rows.values())
            bar.update(len(rows) + len(failures))
            if not rows:
                yield [], torch.empty(0, model.config.embedding_dim), failures
                continue
            vectors, lengths = word_vectors.batch(list(rows.values()))
            with autocast(device, precision):
                embeddings = model.encode_text(vectors.to(device), lengths.to(device))
            yield list(rows), embeddings.float().cpu(), failures
    logger.info(
        "%d of %d words are unknown (%.1f %%)", unknown, words, 100 * unknown / (words or 1)
    )
