"""The one primitive: a tensor of other widths from `{dimension: old positions, with -1 for new}`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurosearch.neurons.allocation import Room, empty
from neurosearch.neurons.units import FIXED, Dimension, Units

CHUNK_BYTES = 2**20  # what is read and what is written fit the cache together
_SMALL_BYTES = 2**17  # below, picking one dimension after the other is quicker
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # NumPy has them all
_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Reindex:
    """What becomes of one dimension, whose positions move in runs of equal length.

    Attributes:
        source: For each new run, the old one, and 0 for one that is new.
        fresh: New runs that have no old one.
        run: Positions in a run.
        old_size: Old number of positions.
        only_appends: Whether all old positions stay where they are and new ones follow.
    """

    source: Tensor
    fresh: Tensor
    run: int
    old_size: int
    only_appends: bool

    @cached_property
    def size(self) -> int:
        """New number of positions."""
        return len(self.source) * self.run

    @cached_property
    def adds(self) -> bool:
        """Whether there are new runs."""
        return len(self.fresh) > 0

    @cached_property
    def positions(self) -> Tensor:
        """For each new position, the old one."""
        return self._all_of(self.source)

    @cached_property
    def new_positions(self) -> Tensor:
        """New positions that have no old one."""
        return self._all_of(self.fresh)

    def _all_of(self, runs: Tensor) -> Tensor:
        if self.run == 1:
            return runs
        return (runs[:, None] * self.run + torch.arange(self.run, device=runs.device)).flatten()

    @cached_property
    def gone(self) -> Tensor:
        """Old runs that have no new one."""
        is_gone = torch.ones(self.old_size // self.run, dtype=torch.bool, device=self.source.device)
        is_gone[self.source] = False
        return is_gone.nonzero().flatten()


Positions = NDArray[np.int64]


class Reindexing:
    """What a step does to every dimension; dimensions with the same blocks share one result.

    Args:
        units: The units before.
        kept: For each group that loses units, which positions stay, ascending.
        added: For each group that gains units, how many.
    """

    def __init__(self, units: Units, kept: Mapping[int, Positions], added: Mapping[int, int]) -> None:
        self._units = units
        self._kept = kept
        self._added = added
        self._changed = kept.keys() | added.keys()
        slices = units.layout.slices
        self._tensors = {part.tensor for group in self._changed for part in slices[group]}
        self._found: dict[tuple[Dimension, torch.device], Reindex | None] = {}

    def of(self, tensor: str, device: torch.device) -> dict[int, Reindex]:
        """Return what becomes of the dimensions of a tensor that change."""
        found = {}
        for dimension, blocks in self._units.layout.dynamic[tensor]:
            change = self._of_blocks(blocks, device)
            if change is not None:
                found[dimension] = change
        return found

    def changes(self, tensor: str) -> bool:
        """Return whether any dimension of a tensor changes."""
        return tensor in self._tensors

    def _of_blocks(self, blocks: Dimension, device: torch.device) -> Reindex | None:
        key = (blocks, device)
        if key not in self._found:
            changes = any(block.group in self._changed for block in blocks)
            self._found[key] = self._make(blocks, device) if changes else None
        return self._found[key]

    def _make(self, blocks: Dimension, device: torch.device) -> Reindex:
        run = gcd(*(repeat for _, repeat in blocks))
        parts: list[Positions] = []
        old = 0  # in runs, as everything here
        for group, repeat in blocks:
            size = 1 if group == FIXED else self._units.sizes[group]
            width = repeat // run
            kept = self._kept.get(group)
            if kept is None:
                parts.append(np.arange(old, old + size * width))
            elif width == 1:
                parts.append(kept + old)
            else:
                parts.append((kept[:, None] * width + np.arange(old, old + width)).ravel())
            if added := self._added.get(group, 0) * width:
                parts.append(np.full(added, -1))
            old += size * width
        source = np.concatenate(parts)
        if not self._added:
            return Reindex(_on(source, device), _on(source[:0], device), run, old * run, only_appends=False)
        fresh = np.flatnonzero(source < 0)
        only_appends = len(fresh) == len(source) - old and np.array_equal(source[:old], np.arange(old))
        source[fresh] = 0
        return Reindex(_on(source, device), _on(fresh, device), run, old * run, only_appends)


def _on(positions: Positions, device: torch.device) -> Tensor:
    return torch.from_numpy(positions).to(device)


def reindexed(tensors: Sequence[Tensor], dimensions: Mapping[int, Reindex], room: Room) -> list[Tensor]:
    """Return tensors of the new widths; new positions hold 0. The old tensors are untouched.

    Args:
        tensors: Any tensors on one device with the positions of the parameter, or with single positions in some
            dimensions. Those that are alike, such as a weight and its moments, are quickest together.
        dimensions: What becomes of each changed dimension.
        room: Where it is noted which position comes from where.
    """
    first = tensors[0]
    if any(one.shape != first.shape or one.stride() != first.stride() for one in tensors[1:]):
        return [reindexed([one], dimensions, room)[0] for one in tensors]
    changes = [(index, change) for index, change in dimensions.items() if first.shape[index] == change.old_size]
    if is_channels_last(first):
        changes = sorted((_CHANNELS_LAST.index(index), change) for index, change in changes)
        plain = [one.permute(_CHANNELS_LAST) for one in tensors]
        return [one.permute(_CHANNELS_FIRST) for one in _reindexed(plain, changes, room)]
    return _reindexed(tensors, changes, room)


def _reindexed(tensors: Sequence[Tensor], changes: Sequence[tuple[int, Reindex]], room: Room) -> list[Tensor]:
    first = tensors[0]
    if all(change.only_appends for _, change in changes):
        return [_appended(tensor, changes) for tensor in tensors]
    is_large = first.ndim > 1 and first.nbytes > _SMALL_BYTES
    if is_large and first.device.type == "cpu" and first.element_size() in _INTEGERS:
        return _gathered([tensor.contiguous() for tensor in tensors], changes, room)
    return [_selected(tensor, changes) for tensor in tensors]


def _selected(tensor: Tensor, changes: Sequence[tuple[int, Reindex]]) -> Tensor:
    """Return a contiguous tensor with its dimensions changed one after the other."""
    for index, change in changes:
        tensor = tensor.index_select(index, change.positions)
        if change.adds:
            tensor.index_fill_(index, change.new_positions, 0)
    return tensor


def _gathered(tensors: Sequence[Tensor], changes: Sequence[tuple[int, Reindex]], room: Room) -> list[Tensor]:
    """Return contiguous tensors of one shape with all dimensions changed at once.

    The tensors are lists of cells: runs of the last dimension that changes, with all that lies in them. For some of the
    new cells at a time it is noted which old ones they are, and all tensors are picked by that. NumPy picks faster than
    PyTorch does.
    """
    shape = list(tensors[0].shape)
    last, runs = changes[-1]
    before, cell = _before(shape[:last], dict(changes)), runs.run * prod(shape[last + 1 :])
    for index, change in changes:
        shape[index] = change.size
    results = [empty(shape, tensor) for tensor in tensors]
    pairs = [(_cells(tensor, cell), _cells(result, cell)) for tensor, result in zip(tensors, results, strict=True)]
    rows, columns = before * (runs.old_size // runs.run), runs.source.numpy()
    step = max(1, CHUNK_BYTES // (columns.itemsize * len(columns)))
    noted = room.of((min(step, len(rows)), len(columns)), runs.source).numpy()
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step, None]
        places = np.add(chosen, columns, out=noted[: len(chosen)]).reshape(-1)
        for old, new in pairs:
            old.take(places, 0, new[start * len(columns) :][: len(places)], "wrap")
    for index, change in changes:
        for result in results if change.adds else ():
            result.index_fill_(index, change.new_positions, 0)
    return results


def _before(shape: Sequence[int], changes: Mapping[int, Reindex]) -> Positions:
    """Return, for every position in the new widths of some dimensions, the old one, numbered through."""
    numbers = np.zeros(1, dtype=np.int64)
    for index, size in enumerate(shape):
        own = changes[index].positions.numpy() if index in changes else np.arange(size)
        numbers = (numbers[:, None] * size + own).ravel()
    return numbers


def _cells(tensor: Tensor, cell: int) -> NDArray[Any]:
    """Return a contiguous tensor as a list of cells, whatever its type is."""
    flat = tensor.view(-1, cell) if cell > 1 else tensor.view(-1)
    numbers: NDArray[Any] = flat.view(_INTEGERS[tensor.element_size()]).numpy()
    return numbers


def _appended(tensor: Tensor, changes: Sequence[tuple[int, Reindex]]) -> Tensor:
    shape = list(tensor.shape)
    for index, change in changes:
        shape[index] = change.size
    result = empty(shape, tensor)
    inner = result
    for index, change in changes:
        inner.narrow(index, change.old_size, change.size - change.old_size).zero_()
        inner = inner.narrow(index, 0, change.old_size)
    inner.copy_(tensor)
    return result


def is_channels_last(tensor: Tensor) -> bool:
    """Return whether a tensor's strides are those of channels-last images.

    Kernels round differently for another order. Strides are compared and not `is_contiguous`, which is true of both
    orders for a single channel.
    """
    if tensor.ndim != 4:
        return False
    _, channels, height, width = tensor.shape
    return tensor.stride() == (height * width * channels, 1, width * channels, channels)


def fits(state: Tensor, shape: Sequence[int]) -> bool:
    """Return whether a tensor has the positions of a shape, or single positions in some dimensions."""
    return state.ndim == len(shape) and all(own in (1, size) for own, size in zip(state.shape, shape, strict=True))
