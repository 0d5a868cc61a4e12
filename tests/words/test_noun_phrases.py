import sys

import pytest

from misc.words import noun_phrases as module
from misc.words.noun_phrases import noun_phrases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A child in a pink dress", [("a child", "child"), ("a pink dress", "dress")]),
        ("Two other men with their dogs", [("two other men", "man"), ("their dogs", "dog")]),
        ("a painted rainbow", [("a painted rainbow", "rainbow")]),
        ("A dog runs", [("a dog", "dog")]),
        ("The side of a hill with a group of people", [("a hill", "hill"), ("people", "person")]),
        ("A man's hat", [("a man", "man"), ("hat", "hat")]),
        ("", []),
        ("123 — !", []),
    ],
)
def test_phrases_end_in_the_thing_that_they_name(text, expected):
    assert noun_phrases(text) == expected


def test_without_textblob_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "textblob.taggers", None)
    module._textblob.cache_clear()
    with pytest.raises(ValueError, match="noun phrases need TextBlob: pip install -r requirements"):
        noun_phrases("a dog")
