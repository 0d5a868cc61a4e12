import logging

import pytest
import torch

from misc.runtime.failures import Failure
from misc.words.token_vectors import TextVectors, TokenCount, pad_texts, required


def test_texts_are_padded_with_zeros():
    vectors, lengths = pad_texts([torch.ones(2, 3), torch.ones(1, 3)])
    assert lengths.tolist() == [2, 1]
    assert vectors.tolist() == [[[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]]


def test_texts_that_are_needed_are_there_or_the_reason_is_told():
    text = TextVectors(torch.ones(1, 3))
    assert required([text, text]) == [text, text]
    with pytest.raises(ValueError, match="^no word$"):
        required([text, Failure(1, "", "no word")])


def test_tokens_are_counted_and_what_is_cut_is_told_even_quietly(caplog):
    count = TokenCount()
    count.add([TextVectors(torch.ones(3, 2), ["blorp"]), TextVectors(torch.ones(5, 2), [], True)])
    count.add([TextVectors(torch.ones(2, 2))])
    with caplog.at_level(logging.INFO):
        count.tell(logging.getLogger())
        assert "1 of 10 words are unknown (10.0 %)" in caplog.text
        caplog.clear()
        count.tell(logging.getLogger(), quiet=True)
        assert "1 texts are too long for the text encoder" in caplog.text
        assert "unknown" not in caplog.text
        caplog.clear()
        TokenCount().tell(logging.getLogger())
        assert not caplog.records
