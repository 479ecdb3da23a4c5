"""Prunes a large tensor inside its own memory.

Fresh memory is what costs most about pruning a large tensor, so what stays is moved to the front of the memory it lies
in, a few rows at a time; what goes is kept aside until the whole change has succeeded. The rest of the memory stays
with the tensor until it is half empty.

Shape letters: r rows, n runs of positions of the other dimension, e elements of such a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from neurosearch.neurons.reindex import CHUNK_BYTES, Reindex

_SMALLEST_BYTES = 2**26  # below, a copy into memory that was used before is faster
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
        goes = torch.ones(change.old_size // change.run, dtype=torch.bool)
        goes[change.source] = False
        return cls(change.source, goes.nonzero().flatten(), change.run)


class Compaction:
    """A pruning of one tensor inside its own memory.

    Args:
        tensor: A tensor for which `fits_compaction` is true.
        changes: What becomes of its dimensions.
    """

    def __init__(self, tensor: Tensor, changes: Mapping[int, Reindex]) -> None:
        other = next((index for index in changes if index > 0), None)
        self._old = tensor
        self._rows = _Cut.of(changes.get(0), tensor.shape[0])
        self._columns = _Cut.of(changes.get(other) if other is not None else None, 1)
        shape = list(tensor.shape)
        for index, change in changes.items():
            shape[index] = change.size
        self._shape = shape
        num_runs = 1 if other is None else tensor.shape[other] // self._columns.run
        before = self._rows.run * (1 if other is None else prod(tensor.shape[1:other]))
        # (runs of rows, positions before the other dimension, n, e)
        self._view = tensor.view(tensor.shape[0] // self._rows.run, before, num_runs, -1)
        self._gone_rows = tensor[:0]
        self._gone_columns: list[Tensor] = []

    def run(self) -> Tensor:
        """Move what stays to the front; return it as a tensor on the same memory."""
        view, flat = self._view, self._old.view(-1)
        self._gone_rows = view.index_select(0, self._rows.goes)
        start = 0
        for first, last in self._chunks():
            chunk = view.index_select(0, self._rows.stays[first:last])
            self._gone_columns.append(chunk.index_select(2, self._columns.goes))
            stop = start + (last - first) * self._row_numel()
            target = flat[start:stop].view(last - first, view.shape[1], len(self._columns.stays), view.shape[3])
            torch.index_select(chunk, 2, self._columns.stays, out=target)
            start = stop
        return flat[:start].view(self._shape)

    def undo(self) -> None:
        """Put everything back: from the end, so that nothing is overwritten that is still to move."""
        view, flat = self._view, self._old.view(-1)
        stop = len(self._rows.stays) * self._row_numel()
        for (first, last), gone in zip(reversed(self._chunks()), reversed(self._gone_columns), strict=True):
            start = stop - (last - first) * self._row_numel()
            moved = flat[start:stop].view(last - first, view.shape[1], len(self._columns.stays), view.shape[3])
            chunk = view.new_empty(last - first, *view.shape[1:])
            chunk.index_copy_(2, self._columns.stays, moved)
            chunk.index_copy_(2, self._columns.goes, gone)
            view.index_copy_(0, self._rows.stays[first:last], chunk)
            stop = start
        view.index_copy_(0, self._rows.goes, self._gone_rows)

    def _row_numel(self) -> int:
        return self._view.shape[1] * len(self._columns.stays) * self._view.shape[3]

    def _chunks(self) -> list[tuple[int, int]]:
        step = max(1, CHUNK_BYTES // max(self._view[0].numel() * self._view.element_size(), 1))
        return list(pairwise([*range(0, len(self._rows.stays), step), len(self._rows.stays)]))


def fits_compaction(tensor: Tensor, changes: Mapping[int, Reindex], num_holders: int) -> bool:
    """Return whether a tensor can be pruned in place: large, whole, and held by nothing else.

    A held `state_dict`, a view or another process would see the numbers move.

    Args:
        tensor: The tensor.
        changes: What is to become of its dimensions.
        num_holders: How many tensors on its memory the caller knows of, itself among them.
    """
    num_bytes = tensor.numel() * tensor.element_size()
    if num_bytes < _SMALLEST_BYTES or tensor.device.type != "cpu" or not tensor.is_contiguous():
        return False
    if any(len(change.fresh) or tensor.shape[index] != change.old_size for index, change in changes.items()):
        return False
    share = prod(change.size / change.old_size for change in changes.values())
    storage = tensor.untyped_storage()
    return (
        (len(changes) == 1 or (len(changes) == 2 and 0 in changes))
        and int(tensor.storage_offset()) == 0
        and share * num_bytes >= _LEAST_FULL * storage.nbytes()
        and not storage.is_shared()
        and _ALONE >= 0
        and _num_holders(tensor) == _ALONE + num_holders
    )


def _num_holders(tensor: Tensor) -> int:
    count = getattr(torch._C, "_storage_Use_Count", None)  # noqa: SLF001  nothing public counts them
    return _UNKNOWN if count is None else int(count(tensor.untyped_storage()._cdata))  # noqa: SLF001


_ALONE = _num_holders(torch.zeros(1)) - 1
