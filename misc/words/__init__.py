from misc.words.pretrained_encoder import PretrainedEncoder
from misc.words.token_vectors import TokenVectors
from misc.words.tokens import tokenize
from misc.words.word_vectors import WordVectors

__all__ = ["PretrainedEncoder", "TokenVectors", "WordVectors", "tokenize"]
