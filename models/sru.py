"""The simple recurrent unit in plain PyTorch, with the parameters of the ``sru`` package."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SRUCell(nn.Module):
    """One SRU layer: one matrix product for all steps, then a small element-wise recurrence.

    With D hidden units, k = 4 matrices where the input size differs from the hidden size and
    k = 3 where it does not; column ``j * k + i`` of the weight is unit j of matrix i.

    Args:
        input_size: W, the size of the input vectors.
        hidden_size: D, the size of the hidden states.
        dropout: probability of the highway's mask, constant over time.
        rnn_dropout: probability of the input's mask, constant over time.
    """

    def __init__(
        self, input_size: int, hidden_size: int, dropout: float = 0.0, rnn_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.matrices = 3 if input_size == hidden_size else 4
        self.dropout = dropout
        self.rnn_dropout = rnn_dropout
        self.weight = nn.Parameter(torch.empty(input_size, hidden_size * self.matrices))
        self.weight_c = nn.Parameter(torch.zeros(2 * hidden_size), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))
        # The package rescales its highway by this; ours does not, and keeps it for its files.
        self.register_buffer("scale_x", torch.ones(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights of variance 1 / input size, smaller where dropout scales inputs up."""
        bound = (3.0 / self.weight.shape[0]) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        with torch.no_grad():
            self.weight.mul_((1 - self.rnn_dropout) ** 0.5)
            self.weight.view(-1, self.hidden_size, self.matrices)[..., 0].mul_(
                (1 - self.dropout) ** 0.5
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Run over inputs (B, T, W) and return the hidden states (B, T, D)."""
        product = self._mask_input(inputs) @ self.weight
        gates = product.float().unflatten(2, (self.hidden_size, self.matrices)).unbind(3)
        highway = gates[3] if self.matrices == 4 else inputs.float()
        forget_bias, reset_bias = self.bias.float().chunk(2)
        forget_weight, reset_weight = self.weight_c.float().chunk(2)
        forget, reset = gates[1] + forget_bias, gates[2] + reset_bias
        cell = torch.zeros_like(gates[0][:, 0])
        cells, resets = [], []
        for candidate, f, r in zip(
            gates[0].unbind(1), forget.unbind(1), reset.unbind(1), strict=True
        ):
            resets.append(torch.sigmoid(r + reset_weight * cell))
            cell = torch.lerp(candidate, cell, torch.sigmoid(f + forget_weight * cell))
            cells.append(cell)
        states = torch.stack(cells, dim=1)  # (B, T, D)
        mask = F.dropout(torch.ones_like(cell), self.dropout, self.training).unsqueeze(1)
        return torch.lerp(highway, states.tanh() * mask, torch.stack(resets, dim=1))

    def _mask_input(self, inputs: Tensor) -> Tensor:
        if not self.training or self.rnn_dropout == 0:
            return inputs
        return inputs * F.dropout(torch.ones_like(inputs[:, :1]), self.rnn_dropout)


class SRU(nn.Module):
    """A stack of SRU layers (Lei et al., 2018) whose state dict is that of ``sru.SRU``.

    Args:
        input_size: W, the size of the input vectors.
        hidden_size: D, the size of the hidden states.
        num_layers: how many layers are stacked.
        dropout: mask on the highway of every layer but the last.
        rnn_dropout: mask on the input of every layer; both masks are constant over time.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 2,
        dropout: float = 0.0,
        rnn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rnn_lst = nn.ModuleList(
            SRUCell(
                input_size=hidden_size if layer else input_size,
                hidden_size=hidden_size,
                dropout=dropout if layer + 1 < num_layers else 0.0,
                rnn_dropout=rnn_dropout,
            )
            for layer in range(num_layers)
        )

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run over padded sequences and return the last layer's hidden states.

        Args:
            inputs: (B, T, W).
            lengths: (B,) numbers of valid steps; ``None`` means that all T are valid.

        Returns:
            (B, T, D), zero at the padded steps.
        """
        for layer in self.rnn_lst:
            inputs = layer(inputs)
        if lengths is None:
            return inputs
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        return inputs.masked_fill((steps >= lengths[:, None]).unsqueeze(2), 0.0)
