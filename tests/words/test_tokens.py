import os
import subprocess
import sys
from pathlib import Path

import pytest

from misc.words.tokens import tokenize

ROOT = Path(__file__).resolve().parents[2]


def test_sentences_are_split_before_words_so_no_word_keeps_its_period():
    text = "A man rides. The dog's here!"
    assert tokenize(text) == ["A", "man", "rides", ".", "The", "dog", "'s", "here", "!"]
    assert tokenize(text, first_sentence=True) == ["A", "man", "rides", "."]


def test_quotes_become_those_of_the_treebank():
    assert tokenize('a "stop" sign') == ["a", "``", "stop", "''", "sign"]


def test_texts_are_split_for_a_user_without_a_home():
    code = "from misc.words import tokenize; print(tokenize('A dog. It rides.'))"
    command = [sys.executable, "-B", "-c", code]
    if os.getuid() == 0:  # another user, whom nobody knows
        command = ["setpriv", "--reuid", "12345", "--clear-groups", *command]
    without = {name: value for name, value in os.environ.items() if name != "HOME"}
    ended = subprocess.run(command, cwd=ROOT, env=without, capture_output=True, text=True)
    if "Permission denied" in ended.stderr:
        pytest.skip("another user cannot read the repository")
    assert ended.stdout.strip() == "['A', 'dog', '.', 'It', 'rides', '.']", ended.stderr
