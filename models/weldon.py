"""Weldon pooling: from activation maps to one feature a channel."""

import torch
from torch import Tensor, nn


class WeldonPool2d(nn.Module):
    """Selective spatial pooling of activation maps (paper, Eq. 2, which has k = 1).

    Each channel is summarised by where it fires most and where it fires least, so
    evidence against a concept counts as well as evidence for it: the mean of its ``k_max``
    highest locations plus the mean of its ``k_min`` lowest ones.

    Args:
        k_max: how many of the highest locations are averaged, at least 1.
        k_min: how many of the lowest; ``None`` means as many as ``k_max``, 0 no minimum part.
        dropout: share of all locations that the maps lack in training, when as much fewer of the
            highest and lowest ones are averaged.
    """

    def __init__(self, k_max: int = 15, k_min: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.k_max = k_max
        self.k_min = k_max if k_min is None else k_min
        self.dropout = dropout
        if self.k_max < 1 or self.k_min < 0:
            raise ValueError(f"k_max must be at least 1 and k_min at least 0, not {k_max}, {k_min}")

    def forward(self, maps: Tensor) -> Tensor:
        """Pool activation maps (B, C, h, w) into features (B, C).

        Gradients reach the chosen locations only.

        Raises:
            ValueError: if the maps have fewer locations than ``k_max`` or ``k_min``.
        """
        locations = maps.flatten(2).contiguous()  # (B, C, h*w)
        k_max, k_min = self._averaged(self.k_max), self._averaged(self.k_min)
        needed = max(k_max, k_min)
        if locations.shape[2] < needed:
            height, width = maps.shape[2:]
            raise ValueError(
                f"pooling over k = {needed} locations needs at least {needed} of them, but the "
                f"maps are {height}x{width} = {height * width}: use larger images or a smaller k"
            )
        highest, lowest = _ends(locations, k_max, k_min)
        exact = torch.promote_types(maps.dtype, torch.float32)
        pooled = highest.mean(dim=2, dtype=exact)
        if k_min:
            pooled = pooled + lowest.mean(dim=2, dtype=exact)
        return pooled.to(maps.dtype)

    def _averaged(self, k: int) -> int:
        """Say how many locations are averaged instead of k of all."""
        share = 1 - self.dropout if self.training else 1.0
        return min(k, max(1, round(k * share)))

    def extra_repr(self) -> str:
        """Show both k when the module is printed."""
        return f"k_max={self.k_max}, k_min={self.k_min}"


def _ends(locations: Tensor, k_max: int, k_min: int) -> tuple[Tensor, Tensor]:
    """Find the highest and the lowest of N numbers: (B, C, N) -> (B, C, k_max), (B, C, k_min)."""
    needs_places = locations.requires_grad and torch.is_grad_enabled()
    if locations.is_cpu and not needs_places and not torch.compiler.is_exporting():
        # NumPy sorts them in a tenth of the time that topk takes to find them with their places.
        ordered = locations.to(torch.promote_types(locations.dtype, torch.float32), copy=True)
        ordered.numpy().sort(axis=2)
        return ordered[:, :, ordered.shape[2] - k_max :], ordered[:, :, :k_min]
    highest = locations.topk(k_max, dim=2, sorted=False).values
    return highest, locations.topk(k_min, dim=2, largest=False, sorted=False).values
