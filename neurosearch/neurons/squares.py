"""Sums of squares of every unit's numbers, wherever its slices are, with one pass over each tensor.

Shape letters: r rows of a tensor, c all its other elements, u units of a group.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from neurosearch.neurons.observer import sum_by_unit
from neurosearch.neurons.units import FIXED, Units

_CHUNK_BYTES = 2**21


def sums_of_squares(units: Units, values: Mapping[str, Tensor]) -> list[Tensor]:
    """Return, for each group, the sum of squares over all positions of each unit, `(u,)`."""
    sums: list[Tensor | None] = [None] * len(units.sizes)
    for name, value in values.items():
        blocks_of = {
            dimension: blocks
            for dimension, blocks in enumerate(units.layout.tensors[name])
            if any(block.group != FIXED for block in blocks)
        }
        for dimension, total in _along_each(value, list(blocks_of)).items():
            for group, part in sum_by_unit(units, blocks_of[dimension], total):
                known = sums[group]
                sums[group] = part if known is None else known + part
    device = next((value.device for value in values.values()), torch.device("cpu"))
    return [
        torch.zeros(size, device=device) if total is None else total
        for total, size in zip(sums, units.sizes, strict=True)
    ]


def _along_each(value: Tensor, dimensions: list[int]) -> dict[int, Tensor]:
    """Return, for some dimensions, the sum of squares over all others."""
    if value.ndim == 1:
        return {0: value.square()}
    if dimensions == [0] or value.ndim == 0:
        return {0: torch.linalg.vector_norm(value.flatten(1), dim=1).square()}
    rows, rest = _rows_and_rest(value)
    found = {0: rows}
    for dimension in dimensions:
        if dimension > 0:
            others = [index for index in range(value.ndim - 1) if index != dimension - 1]
            found[dimension] = rest.sum(others) if others else rest
    return {dimension: found[dimension] for dimension in dimensions}


def _rows_and_rest(value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of squares over all but the first dimension, and over the first one alone.

    Reducing over leading dimensions is slow where the tensor does not fit the cache, so squares are summed some rows at
    a time, and over rows by a product with ones.
    """
    flat = value.reshape(value.shape[0], -1)  # (r, c)
    step = max(1, _CHUNK_BYTES // max(flat.shape[1] * flat.element_size(), 1))
    ones = flat.new_ones(min(step, len(flat)))
    rest = flat.new_zeros(flat.shape[1])
    rows = []
    squares = torch.empty_like(flat[:step])
    for chunk in torch.split(flat, step):
        part = torch.mul(chunk, chunk, out=squares[: len(chunk)])
        rest.addmv_(part.t(), ones[: len(chunk)])
        rows.append(part.sum(1))
    return torch.cat(rows), rest.view(value.shape[1:])
