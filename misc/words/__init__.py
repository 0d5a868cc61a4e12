from misc.words.tokens import tokenize
from misc.words.word_vectors import WordVectors

__all__ = ["WordVectors", "tokenize"]
