"""Trained sizes of all networks of a stack: their gates, their shifts and their loss.

Shape letters: k networks, w size weights, l layers, o padded neurons of a layer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurosearch.growth.gate import theta
from neurosearch.growth.nimble import Gating
from neurosearch.training.form import LinkForm


class SizeTables(NamedTuple):
    """What networks make of their size weights.

    Attributes:
        targets: What the size loss pulls the weights to, `(k, w)`.
        low: From here to `high` a policy would change nothing, `(k, w)`.
        high: See `low`.
        coefficients: Multipliers of the size loss, `(k,)`.
        gate_widths: Widths of a gate's rise, in neurons, `(k, 1)`.
        scales: Neurons that a weight of 1 stands for in each layer, `(k, l)`.
        largest: Size of each layer that no gate goes beyond now, in neurons, `(k, l)`.
        held: For each layer 1 for a neuron that is there, `(k, o)`.
    """

    targets: Tensor
    low: Tensor
    high: Tensor
    coefficients: Tensor
    gate_widths: Tensor
    scales: Tensor
    largest: Tensor
    held: tuple[Tensor, ...]


def empty_tables(weights: Tensor, links: Sequence[LinkForm], *, members_last: bool) -> SizeTables:
    """Return tables for networks that are still to come.

    Args:
        weights: Their size weights, `(k, w)`.
        links: Their layers.
        members_last: Whether the networks follow each other in memory, as for a compiled step.
    """
    num_rows = weights.size(0)

    def zeros(width: int) -> Tensor:
        return weights.new_zeros(width, num_rows).t() if members_last else weights.new_zeros(num_rows, width)

    targets, low, high = (zeros(weights.size(1)) for _ in range(3))
    scales, largest = zeros(len(links)), zeros(len(links))
    held = tuple(zeros(link.num_outputs) for link in links)
    ones = weights.new_ones(num_rows, 1)
    return SizeTables(targets, low, high, weights.new_zeros(num_rows), ones, scales, largest, held)


class StackedSizes:
    """The size weights `(k, w)` of a stack, and what each network makes of them.

    Attributes:
        tables: What that is.
    """

    def __init__(self, weights: Tensor, links: Sequence[LinkForm], tables: SizeTables) -> None:
        """Take the weights, the layers, and what is made of the former."""
        self._weights = weights
        self._links = links
        self.tables = tables
        self._passed = [torch.arange(link.num_outputs, dtype=weights.dtype, device=weights.device) for link in links]

    def load(self, row: int, gating: Gating, layers: Sequence[tuple[str, int]]) -> None:
        """Take in what a network makes of its size weights; layers by the names of their groups, with their widths."""
        tables = self.tables
        tables.targets[row], tables.low[row], tables.high[row] = gating.target, gating.low, gating.high
        tables.coefficients[row], tables.gate_widths[row] = gating.coefficient, gating.width
        for index, (name, width) in enumerate(layers):
            if name in gating.weight:
                tables.scales[row, index], tables.largest[row, index] = gating.scale[name], gating.largest[name]
                tables.held[index][row].zero_()[:width] = 1.0

    def sizes(self) -> list[Tensor | None]:
        """Return the size of each layer in neurons, `(k, 1)`, at most the largest; None where it is not trained."""
        weights = self._weights.unbind(1)
        found: list[Tensor | None] = []
        for index, link in enumerate(self._links):
            if link.size_weight is None:
                found.append(None)
                continue
            size, largest = weights[link.size_weight] * self.tables.scales[:, index], self.tables.largest[:, index]
            found.append(torch.where(size > largest, largest, size)[:, None])
        return found

    def gate(self, index: int, size: Tensor) -> Tensor:
        """Return the gates `(k, o)` of a layer of such sizes."""
        return theta(size - self._passed[index], self.tables.gate_widths)

    def shift(self, index: int, size: Tensor, column: Tensor | None) -> Tensor | None:
        """Return what the size as an input adds to each neuron, `(k, o)`; None without a column `(k, m)`."""
        if column is None:
            return None
        held = self.tables.held[index]
        return size * column[:, : held.size(1)] * held

    def are_at_rest(self) -> Tensor:
        """Return whether no size of a network is where its policy would change something, `(k,)`."""
        weights = self._weights.detach()
        return ((weights >= self.tables.low) & (weights <= self.tables.high)).all(1)

    def loss(self) -> Tensor:
        """Return each network's loss on its sizes, `(k,)`."""
        return self.tables.coefficients * (self._weights - self.tables.targets).square().mean(1)
