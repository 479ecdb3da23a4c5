"""Sums of squares of every unit's numbers, wherever its slices are, with one pass over each tensor.

Shape letters: r rows of a tensor, c all its other elements, u units of a group.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from neurosearch.neurons.allocation import Room
from neurosearch.neurons.observer import sum_by_unit
from neurosearch.neurons.reindex import CHUNK_BYTES
from neurosearch.neurons.units import FIXED, Dimension, Units


def sums_of_squares(units: Units, values: Mapping[str, Tensor]) -> list[Tensor]:
    """Return, for each group, the sum of squares over all positions of each unit, `(u,)`."""
    sums: list[Tensor | None] = [None] * len(units.sizes)
    for blocks, total in _along_dimensions(units, values):
        for group, part in sum_by_unit(units, blocks, total):
            known = sums[group]
            sums[group] = part if known is None else known + part
    device = next((value.device for value in values.values()), torch.device("cpu"))
    return [
        torch.zeros(size, device=device) if total is None else total
        for total, size in zip(sums, units.sizes, strict=True)
    ]


def _along_dimensions(units: Units, values: Mapping[str, Tensor]) -> Iterator[tuple[Dimension, Tensor]]:
    """Yield each dimension that holds units, with the sums of squares over all others; vectors alike at once."""
    vectors: dict[Dimension, list[Tensor]] = {}
    room = Room()
    for name, value in values.items():
        all_blocks = units.layout.tensors[name]
        if value.ndim == 1:
            vectors.setdefault(all_blocks[0], []).append(value)
            continue
        places = [place for place, blocks in enumerate(all_blocks) if any(block.group != FIXED for block in blocks)]
        for place, total in _along_each(value, places, room).items():
            yield all_blocks[place], total
    for blocks, alike in vectors.items():
        yield blocks, torch.stack(alike).square_().sum(0)


def _along_each(value: Tensor, dimensions: list[int], room: Room) -> dict[int, Tensor]:
    """Return, for some dimensions, the sum of squares over all others."""
    if dimensions == [0]:
        return {0: torch.linalg.vector_norm(value.flatten(1), dim=1).square()}
    flat = value.reshape(value.shape[0], -1)
    rows, rest = _rows_and_rest(flat, room, needs_rows=0 in dimensions)
    rest = rest.view(value.shape[1:])
    found = {0: rows}
    for dimension in dimensions:
        if dimension > 0:
            others = [index for index in range(rest.ndim) if index != dimension - 1]
            found[dimension] = rest.sum(others) if others else rest
    return {dimension: found[dimension] for dimension in dimensions}


def _rows_and_rest(flat: Tensor, room: Room, *, needs_rows: bool) -> tuple[Tensor, Tensor]:
    """Return the sums of squares of an `(r, c)` tensor over c, if they are needed, and over r.

    Reducing over leading dimensions is slow where the tensor does not fit the cache, so squares are summed some rows at
    a time.
    """
    step = max(1, CHUNK_BYTES // max(flat.shape[1] * flat.element_size(), 1))
    rows, rest = [flat[:0, 0]], []
    for chunk in torch.split(flat, step):
        squares = torch.mul(chunk, chunk, out=room.of(chunk.shape, chunk))
        rest.append(squares.sum(0))
        if needs_rows:
            rows.append(squares.sum(1))
    return torch.cat(rows), rest[0] if len(rest) == 1 else torch.stack(rest).sum(0)
