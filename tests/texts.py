"""Vectors of texts, as tests need them."""

from misc.words.token_vectors import pad_texts, required


def batch_of(source, *texts):
    """Vectors (B, T, W), padded with zeros, and lengths (B,)."""
    return pad_texts([text.vectors for text in required(source.vectors_of(texts))])
