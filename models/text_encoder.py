"""The text path: frozen word vectors -> SRU layers -> pooling -> unit vector."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.pooling import text_pool
from models.sru import SRU


class TextEncoder(nn.Module):
    """Embeds sentences, given as sequences of word vectors (paper, Eq. 4).

    Args:
        word_dim: W, the dimension of the word vectors.
        embedding_dim: D, the dimension of the joint space and of the hidden states.
        layers: how many SRU layers are stacked.
        dropout: probability of the SRU's input and highway masks.
        pooling: of the states; "last", the state at the last word, as published, "max" or "gpo".

    Raises:
        ValueError: for a pooling that does not exist.
    """

    def __init__(
        self, word_dim: int, embedding_dim: int, layers: int, dropout: float, pooling: str = "last"
    ) -> None:
        super().__init__()
        self.pool = text_pool(pooling)
        self.sru = SRU(word_dim, embedding_dim, layers, dropout=dropout, rnn_dropout=dropout)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Embed padded word vectors (B, T, W) with lengths (B,) as unit rows (B, D).

        Raises:
            ValueError: if a sequence has no word at all; the message names its row.
        """
        empty = (lengths < 1).nonzero().flatten().tolist()
        if empty:
            raise ValueError(f"a text needs at least one word; there is none in rows {empty}")
        states = self.sru(vectors, lengths)  # (B, T, D)
        return F.normalize(self.pool(states.transpose(1, 2), lengths), dim=1)
