"""Prunes tensors inside their own memory.

Fresh memory is what costs most about pruning, so nothing is allocated here: what stays is moved to the front of the
memory it lies in, some rows at a time, and what goes to the end of it, where it stays until it is overwritten. So
everything can be put back. The whole memory stays with the tensor until it is half empty.

Shape letters: r runs of rows, p positions before another dimension, n its runs, e elements of such a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from neurosearch.neurons.allocation import Room, num_bytes_held, shortened
from neurosearch.neurons.reindex import CHUNK_BYTES, Reindex, is_channels_last

_SMALLEST_BYTES = 2**25  # from here on, memory is never used again but always fresh
_LEAST_FULL = 0.5
_UNKNOWN = -1


@dataclass(frozen=True)
class _Cut:
    """What stays and what goes along one dimension, in runs."""

    stays: Tensor
    goes: Tensor
    run: int

    @classmethod
    def of(cls, change: Reindex | None, size: int) -> "_Cut":
        if change is None:
            return cls(torch.arange(size), torch.arange(0), 1)
        return cls(change.source, change.gone, change.run)


class Moves:
    """What moves where when tensors of some shape are pruned; the same for a weight and its moments.

    Args:
        shape: The shape before.
        element_bytes: Bytes of an element.
        changes: What becomes of one dimension, or of the first and another one.
    """

    def __init__(self, shape: Sequence[int], element_bytes: int, changes: Mapping[int, Reindex]) -> None:
        other = next((index for index in changes if index > 0), len(shape))
        self.shape = shape
        self.new_shape = [changes[index].size if index in changes else size for index, size in enumerate(shape)]
        self.rows, self.columns = _Cut.of(changes.get(0), shape[0]), _Cut.of(changes.get(other), 1)
        num_columns = len(self.columns.stays) + len(self.columns.goes)
        self.row_numel = prod(shape[1:]) * self.rows.run
        self.cell = (num_columns, prod(shape[other:]) // num_columns)  # (n, e)
        self._cells_per_row = self.row_numel // prod(self.cell)
        self._step = max(1, CHUNK_BYTES // (self.row_numel * element_bytes))
        self.stays = torch.split(self.rows.stays, self._step)

    @classmethod
    def of(cls, tensor: Tensor, changes: Mapping[int, Reindex]) -> "Moves | None":
        """Return what moves, or None if tensors of this shape are not to be pruned inside their own memory."""
        is_large = tensor.nbytes >= _SMALLEST_BYTES and tensor.device.type == "cpu"
        if not is_large or len(changes) > 2 or (len(changes) == 2 and 0 not in changes):
            return None
        if any(change.adds or tensor.shape[index] != change.old_size for index, change in changes.items()):
            return None
        return cls(tensor.shape, tensor.element_size(), changes)

    def by_chunk(self, flat: Tensor, num_columns: int) -> Sequence[Tensor]:
        """Split elements of the rows that stay into chunks of cells `(r * p, n, e)`."""
        num_cells = len(self.rows.stays) * self._cells_per_row
        return torch.split(flat.view(num_cells, num_columns, self.cell[1]), self._step * self._cells_per_row)

    def parts(self, flat: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the places of the rows and of the cells that go, in the memory for both."""
        num_elements = len(self.rows.goes) * self.row_numel
        rows, cells = flat[:num_elements], flat[num_elements:]
        return rows.view(-1, self.row_numel), self.by_chunk(cells, len(self.columns.goes))


class Compaction:
    """A pruning of one tensor inside its own memory; it can be undone at whatever moment it ended.

    Args:
        tensor: A tensor for which `fits_compaction` is true.
        moves: What moves where.
        rooms: Where rows are kept while they move, and what goes meanwhile.
    """

    def __init__(self, tensor: Tensor, moves: Moves, rooms: tuple[Room, Room]) -> None:
        self._old = tensor
        self._moves = moves
        self._rooms = rooms
        self._table = tensor.view(-1, moves.row_numel)  # (r, p * n * e)
        num_elements = prod(moves.new_shape)
        self._front, self._end = tensor.view(-1)[:num_elements], tensor.view(-1)[num_elements:]
        self._gone = self._end[:0]
        self._num_moved = 0
        self._held: tuple[int, Tensor] | None = None  # the old rows of a chunk while they may be overwritten

    def run(self) -> Tensor:
        """Move what stays to the front; return it as a tensor on the same memory."""
        moves, columns = self._moves, self._moves.columns
        gone = self._rooms[1].of(self._end.shape, self._end)
        gone_rows, gone_cells = moves.parts(gone)
        torch.index_select(self._table, 0, moves.rows.goes, out=gone_rows)
        self._gone = gone
        fronts = moves.by_chunk(self._front, len(columns.stays))
        for index, (stays, aside, front) in enumerate(zip(moves.stays, gone_cells, fronts, strict=True)):
            chunk = self._chunk(len(stays))
            torch.index_select(self._table, 0, stays, out=chunk)
            cells = chunk.view(-1, *moves.cell)
            torch.index_select(cells, 1, columns.goes, out=aside)
            self._held = index, chunk
            if len(columns.goes):
                torch.index_select(cells, 1, columns.stays, out=front)
            else:
                front.copy_(cells)
            self._num_moved = index + 1
            self._held = None
        self._end.copy_(self._gone)
        self._gone = self._end
        return shortened(self._old, moves.new_shape)

    def undo(self) -> None:
        """Put everything back: from the end, so that nothing is overwritten that is still to move."""
        moves, columns = self._moves, self._moves.columns
        if not len(self._gone):
            return
        if self._gone is self._end:
            self._gone = self._rooms[1].of(self._end.shape, self._end).copy_(self._end)
        gone_rows, gone_cells = moves.parts(self._gone)
        fronts = moves.by_chunk(self._front, len(columns.stays))
        num_moved = self._num_moved
        if self._held is not None:
            num_moved, chunk = self._held
            self._table.index_copy_(0, moves.stays[num_moved], chunk)
        for index in reversed(range(num_moved)):
            chunk = self._chunk(len(moves.stays[index]))
            cells = chunk.view(-1, *moves.cell)
            cells.index_copy_(1, columns.stays, fronts[index])
            cells.index_copy_(1, columns.goes, gone_cells[index])
            self._table.index_copy_(0, moves.stays[index], chunk)
        self._table.index_copy_(0, moves.rows.goes, gone_rows)

    def _chunk(self, num_rows: int) -> Tensor:
        return self._rooms[0].of((num_rows, self._moves.row_numel), self._table)


def fits_compaction(tensor: Tensor, moves: Moves, num_holders: int) -> bool:
    """Return whether a tensor can be pruned inside its own memory, and should be.

    Its memory must be contiguous and only its own: whoever else holds it, such as a state dict, must not see it change.

    Args:
        tensor: Any tensor.
        moves: What would move where.
        num_holders: How many tensors on its memory the caller knows of, itself among them.
    """
    return (
        tensor.shape == moves.shape
        and tensor.is_contiguous()
        and tensor.device.type == "cpu"
        and int(tensor.storage_offset()) == 0
        and prod(moves.new_shape) * tensor.element_size() >= _LEAST_FULL * num_bytes_held(tensor)
        and not is_channels_last(tensor)
        and not tensor.untyped_storage().is_shared()
        and _ALONE >= 0
        and _num_holders(tensor) == _ALONE + num_holders
    )


def _num_holders(tensor: Tensor) -> int:
    count = getattr(torch._C, "_storage_Use_Count", None)  # noqa: SLF001  nothing public counts them
    return _UNKNOWN if count is None else int(count(tensor.untyped_storage()._cdata))  # noqa: SLF001


_ALONE = _num_holders(torch.zeros(1)) - 1
