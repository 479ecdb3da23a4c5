"""Sums of squares of every unit's numbers, wherever its slices are, with one pass over each tensor.

Shape letters: r rows of a tensor, c all its other elements, u units of a group.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from neurosearch.neurons.allocation import Room
from neurosearch.neurons.observer import sum_by_unit
from neurosearch.neurons.units import Dimension, Units

_CHUNK_BYTES = 2**20


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
    for name, stored in values.items():
        value = _wide(stored)
        dynamic = units.layout.dynamic[name]
        if value.ndim == 1:
            vectors.setdefault(dynamic[0][1], []).append(value)
        elif len(dynamic) == 1 and dynamic[0][0] == 0:
            yield dynamic[0][1], torch.linalg.vector_norm(value.flatten(1), dim=1).square()
        else:
            yield from _of_matrix(value, dynamic, room)
    for blocks, alike in vectors.items():
        yield blocks, torch.stack(alike).square_().sum(0)


def _wide(value: Tensor) -> Tensor:
    """Return real numbers of the same size, of a type that holds the squares of the smallest ones."""
    value = value.abs() if value.is_complex() else value
    return value.float() if value.dtype in {torch.float16, torch.bfloat16} else value


def _of_matrix(
    value: Tensor, dynamic: tuple[tuple[int, Dimension], ...], room: Room
) -> Iterator[tuple[Dimension, Tensor]]:
    """Yield some dimensions of a tensor of several ones, with the sums of squares over all others."""
    rows, rest = _rows_and_rest(value.reshape(value.shape[0], -1), room, needs_rows=dynamic[0][0] == 0)
    for index, blocks in dynamic:
        if rows is not None and index == 0:
            yield blocks, rows
        elif rest.numel() == value.shape[index]:
            yield blocks, rest
        else:
            others = [other for other in range(value.ndim - 1) if other != index - 1]
            yield blocks, rest.view(value.shape[1:]).sum(others)


def _rows_and_rest(flat: Tensor, room: Room, *, needs_rows: bool) -> tuple[Tensor | None, Tensor]:
    """Return the sums of squares of an `(r, c)` tensor over c, if they are needed, and over r.

    Reducing over leading dimensions is slow, so the squares of some rows at a time are added up, and reduced at last.
    """
    step = max(1, _CHUNK_BYTES // max(flat.shape[1] * flat.element_size(), 1))
    first, *others = torch.split(flat, step)
    squares = torch.mul(first, first, out=room.of(first.shape, first))
    rows = None
    if needs_rows:
        rows = torch.linalg.vector_norm(flat, dim=1).square() if others else squares.sum(1)
    for chunk in others:
        squares[: len(chunk)].addcmul_(chunk, chunk)
    return rows, squares.sum(0)
