"""A running mean of a network's weights (Polyak and Juditsky 1992), which is what is scored.

Unusual: of the table of word vectors only the rows that change are looked at, and the mean is exact all the same: over
k steps at one value it comes as near to that value as k single steps would bring it.
"""

import math

import torch
from torch import Tensor, nn

_YOUNG = 9  # after n steps the mean keeps n / (n + 9) of itself at most, so that it soon leaves the first weights


class Average:
    """The mean of a network's parameters, of which each step keeps `share`, and less at first.

    table: the parameter of which a step changes some rows only; None: there is no such one. seen: float64 [V], the
    value of `faded` when each row was brought up to date; faded: the logarithm of what is left of the first weights.
    """

    def __init__(self, network: nn.Module, table: nn.Parameter | None, share: float) -> None:
        self.live = dict(network.named_parameters())
        self.weights = {name: weight.detach().clone() for name, weight in self.live.items()}
        self.share, self.steps, self.faded = share, 0, 0.0
        self._table = next((name for name, weight in self.live.items() if weight is table), None)
        self._dense = [name for name in self.live if name != self._table]
        self.seen = torch.zeros(0 if table is None else len(table), dtype=torch.float64)
        if table is not None:
            self.seen = self.seen.to(table.device)

    def before(self, rows: Tensor) -> None:
        """Bring the mean of these rows (int64 [U]) of the table up to date, before they change."""
        self.weights[self._table].index_copy_(0, rows, self._current(rows))

    @torch.no_grad()
    def after(self, rows: Tensor | None) -> None:
        """Take in the weights after a step that changed these rows of the table."""
        self.steps += 1
        share = min(self.share, self.steps / (self.steps + _YOUNG))
        self.faded += math.log(share)
        torch._foreach_lerp_(
            [self.weights[name] for name in self._dense], [self.live[name] for name in self._dense], 1 - share
        )
        if rows is not None:
            mean = self.weights[self._table]
            mean.index_copy_(0, rows, mean[rows].lerp_(self.live[self._table][rows], 1 - share))
            self.seen.index_fill_(0, rows, self.faded)

    @torch.no_grad()
    def _current(self, rows: Tensor) -> Tensor:
        mean, value = self.weights[self._table][rows], self.live[self._table][rows]
        left = (self.faded - self.seen[rows]).exp().to(mean.dtype)
        return torch.lerp(value, mean, left[:, None])

    @torch.no_grad()
    def fill(self, network: nn.Module) -> None:
        """Put the mean into a copy of the network."""
        others = dict(network.named_parameters())
        for name in self._dense:
            others[name].copy_(self.weights[name])
        if self._table is not None:
            others[self._table].copy_(self._current(torch.arange(len(self.seen), device=self.seen.device)))
