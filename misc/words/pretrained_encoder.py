"""Token states of a frozen pretrained text encoder, in place of word vectors."""

import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from misc.runtime.failures import Failure, apart, read_item
from misc.words.encoder_files import (
    CONFIG,
    TOKENIZER,
    encoder_folder,
    files_fingerprint,
    longest_text,
    read_json,
)
from misc.words.token_vectors import TextVectors, required
from misc.words.tokens import first_sentence_of

PADDED_TOKENS = 4096  # of a batch, at most
TRIAL = "a text"


class Tokens(NamedTuple):
    """A text as the encoder reads it."""

    ids: list[int]  # with special tokens
    kept: list[int]  # places of the others, which are the text's own
    unknown: list[str]
    cut: bool


class PretrainedEncoder:
    """A text encoder of transformers, frozen, in float32.

    A token is what its tokenizer says, mostly a piece of a word; its vector is the state of the
    last layer. Special tokens ([CLS], [SEP]) are read by the encoder, and then dropped.

    Args:
        model: a module whose output has a ``last_hidden_state``.
        tokenizer: of the class ``tokenizers.Tokenizer``.
        folder: of their files.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.folder = folder
        tokenizer.no_padding()
        tokenizer.enable_truncation(longest_text(folder))
        unknown = read_json(folder / "tokenizer_config.json").get("unk_token")
        if isinstance(unknown, dict):  # a token with its properties
            unknown = unknown.get("content")
        self.unknown = tokenizer.token_to_id(unknown) if isinstance(unknown, str) else None
        self.padding = int(read_json(folder / CONFIG).get("pad_token_id") or 0)
        self.dimension = required(self.vectors_of([TRIAL]))[0].vectors.shape[1]

    @classmethod
    def load(
        cls, source: str, device: torch.device | str = "cpu", online: bool = True
    ) -> "PretrainedEncoder":
        """Open an encoder: tensors and JSON, nothing that could run code.

        Args:
            source: a folder, ``package:NAME`` or ``hf://user/name``, as for ``encoder_folder``.
            device: where it runs.
            online: False downloads nothing.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it cannot be read, or the packages that it needs are missing.
        """
        if not all(importlib.util.find_spec(name) for name in ("transformers", "tokenizers")):
            raise ValueError(f"{source} needs: pip install -r requirements-text.txt")
        folder = encoder_folder(source, online)
        # Whatever the libraries raise of files that mean nothing to them.
        encoder = read_item(0, source, functools.partial(cls._read, folder, device))
        if isinstance(encoder, Failure):
            reason = " ".join(encoder.reason.removeprefix(f"{source}: ").split())
            raise ValueError(f"{source} cannot be read as a text encoder: {reason}")
        return encoder

    @classmethod
    def _read(cls, folder: Path, device: torch.device | str) -> "PretrainedEncoder":
        import tokenizers
        import transformers

        tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        with _quiet():
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
        if missing:
            raise ValueError(f"it lacks {len(missing)} tensors, such as {min(missing)}")
        return cls(model.to(device), tokenizer, folder)

    def fingerprint(self) -> str:
        """Compute a SHA-256 of weights, settings and tokenizer."""
        return files_fingerprint(self.folder)

    def vectors_of(
        self, texts: Sequence[str], first_sentence: bool = False
    ) -> list[TextVectors | Failure]:
        """Encode texts, those of about the same length together; see ``TokenVectors``."""
        found = [
            read_item(place, "", functools.partial(self._tokens, text, first_sentence))
            for place, text in enumerate(texts)
        ]
        states = iter(self._states(apart(found)[0]))
        return [
            item if isinstance(item, Failure) else TextVectors(next(states), item.unknown, item.cut)
            for item in found
        ]

    def _tokens(self, text: str, first_sentence: bool) -> Tokens:
        encoding = self.tokenizer.encode(first_sentence_of(text) if first_sentence else text)
        special = encoding.special_tokens_mask
        kept = [place for place, is_special in enumerate(special) if not is_special]
        if not kept:
            raise ValueError(f"a text needs at least one word, and {text!r} has none")
        unknown = [encoding.offsets[place] for place in kept if encoding.ids[place] == self.unknown]
        words = [text[start:end] for start, end in unknown]
        return Tokens(encoding.ids, kept, words, bool(encoding.overflowing))

    @torch.no_grad()
    def _states(self, texts: Sequence[Tokens]) -> list[Tensor]:
        """Encode texts as the states (T, W) of their tokens, in batches of similar lengths."""
        states: dict[int, Tensor] = {}
        left = sorted(range(len(texts)), key=lambda place: -len(texts[place].ids))
        while left:
            size = max(1, PADDED_TOKENS // len(texts[left[0]].ids))
            places, left = left[:size], left[size:]
            states.update(zip(places, self._encode([texts[p] for p in places]), strict=True))
        return [states[place] for place in range(len(texts))]

    def _encode(self, batch: Sequence[Tokens]) -> Iterator[Tensor]:
        device = next(self.model.parameters()).device
        rows = [torch.tensor(text.ids) for text in batch]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.padding)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        encoded = self.model(input_ids=ids.to(device), attention_mask=mask.long().to(device))
        for states, text in zip(encoded.last_hidden_state, batch, strict=True):
            yield states[text.kept]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling of what we look at ourselves."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
