"""Pooling of a sequence's states, and pooling that is learned, of states or of locations."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.weldon import WeldonPool2d


class LastPool(nn.Module):
    """The last valid value of each channel, as published: the state at the last word (Eq. 4)."""

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Pool values (B, C, N), valid up to lengths (B,), to (B, C)."""
        last = (lengths.to(values.device) - 1)[:, None, None].expand(-1, values.shape[1], 1)
        return values.gather(2, last)[:, :, 0]


class MaxPool(nn.Module):
    """The highest valid value of each channel."""

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Pool values (B, C, N), valid up to lengths (B,), to (B, C)."""
        valid = valid_places(lengths.to(values.device), values.shape[2])
        return values.masked_fill(~valid[:, None], float("-inf")).max(dim=2).values


class GeneralizedPool(nn.Module):
    """Generalised pooling operator (GPO; VSE-infinity, Chen et al., CVPR 2021, section 4).

    Each channel's values are sorted, and the n-th highest of N counts by a weight that is learned:
    a GRU runs both ways over the encoded places n, and a softmax of what it says sums to 1. The
    mean and the maximum are cases of it. Weights follow from N alone, all channels share them.

    Args:
        size: of the encoding of places and of the GRU's states.
    """

    k_max = 1  # it needs no more values than that

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.size = size
        self.gru = nn.GRU(size, size, batch_first=True, bidirectional=True)
        self.score = nn.Linear(size, 1)

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool values (B, C, N), or maps (B, C, h, w), to (B, C).

        Args:
            values: of which each channel is pooled.
            lengths: (B,), how many are valid; ``None`` means all.
        """
        values = values.flatten(2)
        count = values.shape[2]
        with torch.autocast(values.device.type, enabled=False):  # places would be rounded
            if lengths is None or not len(lengths):
                weights = self.weights(torch.tensor([count])).expand(len(values), -1)
            else:
                different, places = lengths.cpu().unique(return_inverse=True)
                weights = self.weights(different, count)[places.to(values.device)]
                valid = valid_places(lengths.to(values.device), count)
                values = values.masked_fill(~valid[:, None], float("-inf"))
            ordered = values.float().sort(dim=2, descending=True).values
            # Those that are not valid come last, with a weight of 0; 0 times infinity is no number.
            ordered = ordered.masked_fill(ordered == float("-inf"), 0.0)
            return torch.einsum("bcn,bn->bc", ordered, weights).to(values.dtype)

    def weights(self, lengths: Tensor, count: int | None = None) -> Tensor:
        """Compute the weights (L, count) of the n-th highest of as many values as lengths (L,) say.

        Rows sum to 1 and are 0 from their length on.
        """
        count = count or int(lengths.max())
        device = self.score.weight.device
        encoded = encode_places(count, self.size).to(device).expand(len(lengths), -1, -1)
        packed = pack_padded_sequence(encoded, lengths, batch_first=True, enforce_sorted=False)
        states = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=count)[0]
        forward, backward = states.chunk(2, dim=2)
        scores = self.score((forward + backward) / 2)[:, :, 0]  # (L, count)
        valid = valid_places(lengths.to(device), count)
        weights: Tensor = scores.masked_fill(~valid, float("-inf")).softmax(dim=1)
        return weights


def valid_places(lengths: Tensor, count: int) -> Tensor:
    """Say which of ``count`` places are below each of the lengths (B,): (B, count)."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def encode_places(count: int, size: int) -> Tensor:
    """Encode places 0 to count - 1 as sines and cosines (Vaswani et al., 2017): (count, size)."""
    frequencies = torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    angles = torch.arange(count)[:, None] * frequencies  # (count, size / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def image_pool(name: str, k: int, dropout: float = 0.0) -> WeldonPool2d | GeneralizedPool:
    """Make the pooling of activation maps.

    Args:
        name: one of "weldon", "max" and "gpo".
        k: how many locations are averaged, where there is a choice.
        dropout: share of all locations that are left out of the maps in training.

    Raises:
        ValueError: if there is none of that name.
    """
    pools: dict[str, Callable[[], WeldonPool2d | GeneralizedPool]] = {
        "weldon": lambda: WeldonPool2d(k, dropout=dropout),
        "max": lambda: WeldonPool2d(k, 0, dropout),
        "gpo": GeneralizedPool,
    }
    if name not in pools:
        raise ValueError(f"no pooling {name!r}; there are {', '.join(pools)}")
    return pools[name]()


def text_pool(name: str) -> nn.Module:
    """Make the pooling of a text's states.

    Raises:
        ValueError: if there is none of that name.
    """
    pools: dict[str, type[nn.Module]]
    pools = {"last": LastPool, "max": MaxPool, "gpo": GeneralizedPool}
    if name not in pools:
        raise ValueError(f"no pooling {name!r} of words; there are {', '.join(pools)}")
    return pools[name]()
