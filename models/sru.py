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

    def forward(self, inputs: Tensor, batch_sizes: list[int]) -> Tensor:
        """Run over sequences that are packed step by step, the longest first.

        Args:
            inputs: (N, W), the inputs of all sequences at step 0, then of all that have a step 1 …
            batch_sizes: how many sequences have a step 0, 1 …; N in all.

        Returns:
            The hidden states (N, D), packed alike.
        """
        product = self._mask_input(inputs, batch_sizes).to(self.weight.dtype) @ self.weight
        # Matrix by matrix in memory: what is interleaved would slow down each step.
        gates = product.float().unflatten(1, (self.hidden_size, self.matrices)).unbind(2)
        candidates, forget, reset = (gate.contiguous() for gate in gates[:3])
        highway = gates[3] if self.matrices == 4 else inputs.float()
        forget_bias, reset_bias = self.bias.float().chunk(2)
        forget_weight, reset_weight = self.weight_c.float().chunk(2)
        steps = zip(
            candidates.split(batch_sizes),
            (forget + forget_bias).split(batch_sizes),
            (reset + reset_bias).split(batch_sizes),
            strict=True,
        )
        cell = candidates.new_zeros(batch_sizes[0], self.hidden_size)
        cells, resets = [], []
        for candidate, f, r in steps:
            previous = cell[: len(candidate)]
            resets.append(torch.sigmoid(torch.addcmul(r, reset_weight, previous)))
            cell = torch.lerp(
                candidate, previous, torch.sigmoid(torch.addcmul(f, forget_weight, previous))
            )
            cells.append(cell)
        states = torch.cat(cells).tanh()
        if self.training and self.dropout:
            states = states * _mask(states, batch_sizes, self.dropout)
        return torch.lerp(highway, states, torch.cat(resets))

    def _mask_input(self, inputs: Tensor, batch_sizes: list[int]) -> Tensor:
        if not self.training or self.rnn_dropout == 0:
            return inputs
        return inputs * _mask(inputs, batch_sizes, self.rnn_dropout)


def _mask(values: Tensor, batch_sizes: list[int], dropout: float) -> Tensor:
    """Dropout mask (N, D) for packed values (N, D), the same at all steps of a sequence."""
    mask = F.dropout(torch.ones_like(values[: batch_sizes[0]]), dropout)
    return torch.cat([mask[:size] for size in batch_sizes])


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

        Padding costs nothing: only valid steps are computed.

        Args:
            inputs: (B, T, W).
            lengths: (B,) numbers of valid steps, at least 1; ``None`` means that all T are valid.

        Returns:
            (B, T, D), zero at the padded steps.
        """
        size, steps = inputs.shape[:2]
        if not size:  # cannot be packed, but takes part in a distributed backward pass
            return self._run(inputs.flatten(0, 1), [0])[:, None].expand(-1, steps, -1)
        lengths = torch.full((size,), steps) if lengths is None else lengths.cpu()
        order = lengths.argsort(descending=True)
        valid = torch.arange(steps)[:, None] < lengths[order]  # (T, B)
        step, rank = valid.nonzero(as_tuple=True)
        # Of the packed steps among the padded ones. pad_packed_sequence would copy all gradients
        # once a step.
        places = (order[rank] * steps + step).to(inputs.device, non_blocking=True)
        batch_sizes = [count for count in valid.sum(dim=1).tolist() if count]
        states = self._run(inputs.flatten(0, 1)[places], batch_sizes)
        padded = states.new_zeros(size * steps, states.shape[1]).index_copy(0, places, states)
        return padded.view(size, steps, -1)

    def _run(self, states: Tensor, batch_sizes: list[int]) -> Tensor:
        for layer in self.rnn_lst:
            states = layer(states, batch_sizes)
        return states
