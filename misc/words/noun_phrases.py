"""Noun phrases of captions, such as "a pink dress", and what they name."""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

# A determiner, number or possessive, and participles after it; adjectives; nouns.
PATTERN = re.compile(r"(?:D[AV]*|A*)N+")
LETTERS = {"DT": "D", "PRP$": "D", "CD": "D", "JJ": "A", "VBD": "V", "VBN": "V", "VBG": "V"}
VAGUE = re.compile(  # of no place of their own
    "air|area|background|bit|bunch|couple|edge|end|front|group|kind|lot|middle|number|others?|pair|"
    "part|picture|row|scene|set|side|something|top|type|way"
)


class NounPhrase(NamedTuple):
    """Words of a text, and the thing that they name."""

    text: str  # in lower case
    head: str  # its last noun, in the singular


def noun_phrases(text: str) -> list[NounPhrase]:
    """Find the noun phrases of an English text, in its order, with TextBlob's tagger.

    Those that name nothing with a place of its own ("the side", "a group") are left out.

    Raises:
        ValueError: if TextBlob is not installed.
    """
    tag, singular = _textblob()
    words = tag(text.lower())
    letters = "".join("N" if kind[:2] == "NN" else LETTERS.get(kind, "-") for _, kind in words)
    found = []
    for match in PATTERN.finditer(letters):
        phrase = words[match.start() : match.end()]
        if phrase[0][0] in ("a", "an") and phrase[-1][1] == "NNS":
            phrase = phrase[:-1]  # "a dog runs": no plural, but a verb
        noun, kind = phrase[-1]
        head = singular(noun) if kind == "NNS" else noun
        if kind[:2] == "NN" and any(map(str.isalpha, head)) and not VAGUE.fullmatch(head):
            found.append(NounPhrase(" ".join(word for word, _ in phrase), head))
    return found


@functools.cache
def _textblob() -> tuple[Callable[[str], list[tuple[str, str]]], Callable[[str], str]]:
    try:
        from textblob.inflect import singularize
        from textblob.taggers import PatternTagger
    except ImportError as error:
        raise ValueError(
            "noun phrases need TextBlob: pip install -r requirements.txt, or --location-phrases 0"
        ) from error
    return PatternTagger().tag, singularize
