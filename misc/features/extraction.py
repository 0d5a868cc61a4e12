"""What the two scripts that extract features have in common."""

import argparse
import dataclasses
import functools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from misc.cli import write_json
from misc.data.entries import decoded
from misc.features.writing import EmbeddingsWriter, writing
from misc.runtime.failures import Failure, apart, read_item
from misc.runtime.files import replacing
from misc.runtime.finite import apart_finite
from misc.words.token_vectors import TextVectors, TokenCount, TokenVectors, pad_texts
from models.joint_embedding import JointEmbedding

logger = logging.getLogger(__name__)


class NamedBatch(NamedTuple):
    """Embeddings of some items, and what could not be embedded."""

    places: list[int]  # of the items in all that is asked for
    names: list[str]
    embeddings: Tensor  # (B, D)
    failures: list[Failure]


def is_folder(output: Path) -> bool:
    """Say whether an output is a folder of parts: it is one already, or has no suffix."""
    return output.is_dir() or not output.suffix


def check_request(args: argparse.Namespace) -> None:
    """Refuse a command line that lacks something, or that several processes cannot share.

    Raises:
        ValueError: the message says what is needed.
    """
    if args.path is None or not args.data:
        raise ValueError("-p, the model, and -d, what is to be embedded, are needed")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not is_folder(args.output):
        raise ValueError(
            f"-o {args.output}: several processes cannot write one file; name a folder"
        )


def extract(
    args: argparse.Namespace, count: int, batches: Iterable[NamedBatch], dimension: int
) -> dict[str, Any]:
    """Write batches of embeddings to a file as they come, and report what was left out.

    Args:
        args: what ``output_options`` and ``common_options`` gave.
        count: how many items there are.
        batches: names, embeddings and failures; nothing of them is kept.
        dimension: D of the embeddings.

    Returns:
        The numbers of ``rows`` and of items ``left_out``, the ``dimension`` and the files.

    Raises:
        ValueError: if nothing could be embedded, or something could not and ``--strict`` is set.
        FileExistsError: if the file exists and ``--force`` is not set.
    """
    failures: list[Failure] = []
    with writing(args.output, dimension, args.dtype, args.force, count) as writer:
        for batch in batches:
            failed = append(writer, batch)
            if failed and args.strict:
                raise ValueError(failed[0].reason)
            failures += failed
        if not writer.names:
            raise ValueError(f"none of {count} items can be embedded: {failures[0].reason}")
    write_errors(args.output, failures)
    errors = errors_file(args.output)
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


def append(writer: EmbeddingsWriter, batch: NamedBatch) -> list[Failure]:
    """Append a batch's finite embeddings, and return its failures, others among them."""
    places, names, embeddings, failures = batch
    kept, not_finite = apart_finite(embeddings, places, names)
    writer.append([names[row] for row in kept], embeddings[kept])
    return failures + not_finite


def errors_file(output: Path) -> Path:
    """Say where the failures of an output are listed."""
    return output.with_name(f"{output.name}.errors.jsonl")


def write_errors(output: Path, failures: Sequence[Failure]) -> None:
    """List failures beside the output; without any, remove the list of an earlier run."""
    path = errors_file(output)
    path.unlink(missing_ok=True)
    if failures:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for failure in failures:
                file.write(json.dumps(vars(failure)) + "\n")


def named(
    names: Sequence[str], batches: Iterable[tuple[list[int], Tensor, list[Failure]]], first: int = 0
) -> Iterator[NamedBatch]:
    """Name the items of batches, and count their places from the ``first`` of them."""
    for places, embeddings, failures in batches:
        yield NamedBatch(
            [first + place for place in places],
            [names[place] for place in places],
            embeddings,
            [dataclasses.replace(one, index=first + one.index) for one in failures],
        )


@torch.inference_mode()
def embed_lines(
    model: JointEmbedding,
    lines: Sequence[str],
    word_vectors: TokenVectors,
    batch_size: int,
    first_sentence: bool = False,
    first: int = 0,
) -> Iterator[NamedBatch]:
    """Embed texts batch by batch; one without a word, or in another encoding, becomes a failure.

    ``first`` is the place of the first one in its file.

    The share of unknown words is logged in the end, and how many texts were too long.
    """
    device = next(model.parameters()).device
    count = TokenCount()
    with tqdm(total=len(lines), unit="text", desc="texts", disable=None) as bar:
        for start in range(0, len(lines), batch_size):
            batch = lines[start : start + batch_size]
            texts: dict[int, TextVectors] = {}
            failures = []
            for index, item in enumerate(_vectors_of(batch, word_vectors, first_sentence), start):
                if isinstance(item, Failure):
                    place, name = first + index, lines[index]
                    reason = f"line {place + 1}: {item.reason}"
                    failures.append(Failure(place, name, reason))
                else:
                    texts[index] = item
            count.add(texts.values())
            bar.update(len(batch))
            if not texts:
                yield NamedBatch([], [], torch.empty(0, model.config.embedding_dim), failures)
                continue
            vectors, lengths = pad_texts([text.vectors for text in texts.values()])
            encoded = model.encode_text(vectors.to(device), lengths).cpu()
            places, names = [first + index for index in texts], [lines[index] for index in texts]
            yield NamedBatch(places, names, encoded, failures)
    count.tell(logger)


def _vectors_of(
    lines: Sequence[str], word_vectors: TokenVectors, first_sentence: bool
) -> Iterator[TextVectors | Failure]:
    """Give the vectors of lines, or why they have none; some may be in another encoding."""
    encoding = "the encoding; --encoding names another, such as latin-1"
    read = [read_item(0, "", functools.partial(decoded, line, encoding)) for line in lines]
    texts, _ = apart(read)
    found = iter(word_vectors.vectors_of(texts, first_sentence) if texts else [])
    return (item if isinstance(item, Failure) else next(found) for item in read)
