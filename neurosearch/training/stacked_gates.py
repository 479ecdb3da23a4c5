"""Trained sizes of all networks of a stack: their gates, their shifts and their loss.

Shape letters: k networks, w size weights, o padded neurons of a layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from neurosearch.growth.gate import theta
from neurosearch.growth.nimble import Gating
from neurosearch.training.form import LinkForm


class StackedSizes:
    """The size weights `(k, w)` of a stack, and what each network makes of them."""

    def __init__(self, weights: Tensor, links: Sequence[LinkForm]) -> None:
        """Take the weights, a leaf of autograd, and the layers."""
        num_rows = weights.size(0)
        self._weights = weights
        self._links = links
        self._targets = torch.zeros_like(weights, requires_grad=False)
        self._low, self._high = torch.zeros_like(self._targets), torch.zeros_like(self._targets)
        self._coefficients = weights.new_zeros(num_rows)
        self._gate_widths = weights.new_ones(num_rows, 1)
        self._scales = weights.new_zeros(num_rows, len(links))
        self._largest = weights.new_zeros(num_rows, len(links))
        self._held = [weights.new_zeros(num_rows, link.num_outputs) for link in links]  # 1 for a neuron that is there
        self._passed = [torch.arange(link.num_outputs, dtype=weights.dtype, device=weights.device) for link in links]

    def load(self, row: int, gating: Gating, layers: Sequence[tuple[str, int]]) -> None:
        """Take in what a network makes of its size weights; layers by the names of their groups, with their widths."""
        self._targets[row], self._low[row], self._high[row] = gating.target, gating.low, gating.high
        self._coefficients[row], self._gate_widths[row] = gating.coefficient, gating.width
        for index, (name, width) in enumerate(layers):
            if name in gating.weight:
                self._scales[row, index], self._largest[row, index] = gating.scale[name], gating.largest[name]
                self._held[index][row].zero_()[:width] = 1.0

    def sizes(self) -> list[Tensor | None]:
        """Return the size of each layer in neurons, `(k, 1)`, at most the largest; None where it is not trained."""
        weights = self._weights.unbind(1)
        found: list[Tensor | None] = []
        for index, link in enumerate(self._links):
            if link.size_weight is None:
                found.append(None)
                continue
            size, largest = weights[link.size_weight] * self._scales[:, index], self._largest[:, index]
            found.append(torch.where(size > largest, largest, size)[:, None])
        return found

    def gate(self, index: int, size: Tensor) -> Tensor:
        """Return the gates `(k, o)` of a layer of such sizes."""
        return theta(size - self._passed[index], self._gate_widths)

    def shift(self, index: int, size: Tensor, column: Tensor | None) -> Tensor | None:
        """Return what the size as an input adds to each neuron, `(k, o)`; None without a column `(k, m)`."""
        if column is None:
            return None
        held = self._held[index]
        return size * column[:, : held.size(1)] * held

    def are_at_rest(self) -> Tensor:
        """Return whether no size of a network is where its policy would change something, `(k,)`."""
        weights = self._weights.detach()
        return ((weights >= self._low) & (weights <= self._high)).all(1)

    def loss(self) -> Tensor:
        """Return each network's loss on its sizes, `(k,)`."""
        return self._coefficients * (self._weights - self._targets).square().mean(1)
