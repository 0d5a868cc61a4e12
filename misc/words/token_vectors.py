"""What stands before the text path: a source of vectors for the tokens of texts."""

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from misc.runtime.failures import Failure


class TextVectors(NamedTuple):
    """The tokens of a text, as vectors."""

    vectors: Tensor  # (T, W), float32
    unknown: Sequence[str] = ()  # tokens without a vector of their own
    cut: bool = False  # True if the text was too long, and its end is missing


class TokenVectors(Protocol):
    """A table of word vectors, or the frozen token states of a pretrained text encoder."""

    @property
    def folder(self) -> Path | str:
        """Where they come from, for messages."""

    @property
    def dimension(self) -> int:
        """W, the dimension of the vectors."""

    def fingerprint(self) -> str:
        """Compute a SHA-256 that tells whether vectors are those a model was trained with."""

    def vectors_of(
        self, texts: Sequence[str], first_sentence: bool = False
    ) -> list[TextVectors | Failure]:
        """Give the vectors of each text, or why it has none: it may have no word.

        The vectors of a text do not depend on the others. Failures have their places in ``texts``,
        and no names, which are the business of those who know where texts are from.

        Args:
            texts: one or more sentences each.
            first_sentence: keep the first sentence of each only, as the code of 2018 did.
        """


def required(texts: Iterable[TextVectors | Failure]) -> list[TextVectors]:
    """Take texts all of which are needed.

    Raises:
        ValueError: if one has no vectors; the message shows it.
    """
    found = []
    for text in texts:
        if isinstance(text, Failure):
            raise ValueError(text.reason)
        found.append(text)
    return found


def pad_texts(vectors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad word vectors [(T_i, W)] with zeros to (B, T, W), and give the lengths (B,)."""
    lengths = torch.tensor([len(text) for text in vectors])
    return pad_sequence(list(vectors), batch_first=True), lengths


@dataclasses.dataclass
class TokenCount:
    """How many tokens there were, how many of them unknown, and how many texts were cut."""

    tokens: int = 0
    unknown: int = 0
    cut: int = 0

    def add(self, texts: Iterable[TextVectors]) -> None:
        """Count what some texts have."""
        for text in texts:
            self.tokens += len(text.vectors)
            self.unknown += len(text.unknown)
            self.cut += text.cut

    def tell(self, logger: logging.Logger, quiet: bool = False) -> None:
        """Log the share of unknown words, unless ``quiet``, and warn of texts that were cut."""
        if self.tokens and not quiet:
            share = 100 * self.unknown / self.tokens
            logger.info("%d of %d words are unknown (%.1f %%)", self.unknown, self.tokens, share)
        if self.cut:
            logger.warning("%d texts are too long for the text encoder: ends are cut off", self.cut)
