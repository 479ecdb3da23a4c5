"""The one primitive: a tensor of other widths from `{dimension: old positions, with -1 for new}`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

import torch
from torch import Tensor

from neurosearch.neurons.allocation import empty
from neurosearch.neurons.units import FIXED, Dimension, Units

CHUNK_BYTES = 2**20


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

    @property
    def size(self) -> int:
        """New number of positions."""
        return len(self.source) * self.run


class Reindexing:
    """What a step does to every dimension; dimensions with the same blocks share one result.

    Args:
        units: The units before.
        kept: For each group that loses units, which positions stay, ascending.
        added: For each group that gains units, how many.
    """

    def __init__(self, units: Units, kept: Mapping[int, Tensor], added: Mapping[int, int]) -> None:
        self._units = units
        self._kept = kept
        self._added = added
        self._changed = kept.keys() | added.keys()
        slices = units.layout.slices
        self._tensors = {part.tensor for group in self._changed for part in slices[group]}
        self._found: dict[tuple[Dimension, torch.device], Reindex] = {}
        self._of: dict[tuple[str, torch.device], dict[int, Reindex]] = {}

    def of(self, tensor: str, device: torch.device) -> dict[int, Reindex]:
        """Return what becomes of the dimensions of a tensor that change."""
        key = (tensor, device)
        if key not in self._of:
            self._of[key] = {
                dimension: self._of_blocks(blocks, device)
                for dimension, blocks in enumerate(self._units.layout.tensors[tensor])
                if any(block.group in self._changed for block in blocks)
            }
        return self._of[key]

    def changes(self, tensor: str) -> bool:
        """Return whether any dimension of a tensor changes."""
        return tensor in self._tensors

    def _of_blocks(self, blocks: Dimension, device: torch.device) -> Reindex:
        key = (blocks, device)
        if key not in self._found:
            self._found[key] = self._make(blocks, device)
        return self._found[key]

    def _make(self, blocks: Dimension, device: torch.device) -> Reindex:
        run = gcd(*(repeat for _, repeat in blocks))
        parts: list[Tensor] = []
        old = 0  # in runs, as everything here
        for group, repeat in blocks:
            size = 1 if group == FIXED else self._units.sizes[group]
            width = repeat // run
            kept = self._kept.get(group)
            if kept is None:
                parts.append(torch.arange(old, old + size * width))
            elif width == 1:
                parts.append(kept + old)
            else:
                parts.append((kept[:, None] * width + torch.arange(old, old + width)).flatten())
            if added := self._added.get(group, 0) * width:
                parts.append(torch.full((added,), -1))
            old += size * width
        source = torch.cat(parts) if len(parts) > 1 else parts[0]
        if not self._added:
            return Reindex(source.to(device), source[:0].to(device), run, old * run, only_appends=False)
        fresh = (source < 0).nonzero().flatten()
        only_appends = len(fresh) == len(source) - old and torch.equal(source[:old], torch.arange(old))
        return Reindex(source.clamp(min=0).to(device), fresh.to(device), run, old * run, only_appends)


def reindexed(tensor: Tensor, dimensions: Mapping[int, Reindex]) -> Tensor:
    """Return a tensor of the new widths; new positions hold 0. The old tensor is untouched.

    Args:
        tensor: Any tensor with the positions of the parameter, or with single positions in some dimensions.
        dimensions: What becomes of each changed dimension.
    """
    changes = [(index, change) for index, change in dimensions.items() if tensor.shape[index] == change.old_size]
    if all(change.only_appends for _, change in changes):
        return _like(tensor, _appended(tensor, changes))
    if tensor.numel() * tensor.element_size() <= CHUNK_BYTES:
        return _like(tensor, _small(tensor, changes))
    result = tensor.contiguous()
    if len(changes) == 2 and changes[0][0] == 0 and not any(len(change.fresh) for _, change in changes):
        return _like(tensor, _both(result, changes[0][1], *changes[1]))
    for index, change in changes:
        result = _along(result, index, change)
    return _like(tensor, result)


def _small(tensor: Tensor, changes: Sequence[tuple[int, Reindex]]) -> Tensor:
    """Return a tensor that fits the cache with its dimensions changed one after the other."""
    for index, change in changes:
        if change.run == 1:
            tensor = tensor.index_select(index, change.source)
            if len(change.fresh):
                tensor.index_fill_(index, change.fresh, 0)
        else:
            tensor = _along(tensor.contiguous(), index, change)
    return tensor


def _along(tensor: Tensor, dimension: int, change: Reindex) -> Tensor:
    """Return a contiguous tensor with one dimension changed."""
    shape = list(tensor.shape)
    shape[dimension] = change.size
    result = empty(shape, tensor)
    inner = _by_runs(result, dimension, change.run)
    torch.index_select(_by_runs(tensor, dimension, change.run), 1, change.source, out=inner)
    if len(change.fresh):
        inner.index_fill_(1, change.fresh, 0)
    return result


def _by_runs(tensor: Tensor, dimension: int, run: int) -> Tensor:
    """Return a view `(positions before, runs, elements of a run)`."""
    before, length, after = prod(tensor.shape[:dimension]), tensor.shape[dimension], prod(tensor.shape[dimension + 1 :])
    return tensor.view(before, length // run, run * after)


def _both(tensor: Tensor, rows: Reindex, dimension: int, change: Reindex) -> Tensor:
    """Return a tensor with its first and another dimension pruned, some rows at a time: they stay in the cache."""
    shape = [rows.size, *tensor.shape[1:]]
    shape[dimension] = change.size
    result = empty(shape, tensor)
    old = _by_runs(tensor, 0, rows.run)[0]  # (runs of rows, elements)
    new = result.view(len(rows.source), -1)
    step = max(1, CHUNK_BYTES // max(old.shape[1] * tensor.element_size(), 1))
    for start in range(0, len(rows.source), step):
        chosen = rows.source[start : start + step]
        chunk = old.index_select(0, chosen).view(len(chosen) * rows.run, *tensor.shape[1:])
        target = new[start : start + step].view(len(chosen) * rows.run, *shape[1:])
        source = _by_runs(chunk, dimension, change.run)
        torch.index_select(source, 1, change.source, out=_by_runs(target, dimension, change.run))
    return result


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


def _like(tensor: Tensor, result: Tensor) -> Tensor:
    """Give a result the memory order of the old tensor: kernels round differently for another one.

    Strides are compared and not `is_contiguous`, which is true of both orders for a single channel.
    """
    if tensor.ndim != 4 or tensor.stride() != _channels_last_stride(tensor.shape):
        return result
    ordered = torch.empty_strided(
        result.shape, _channels_last_stride(result.shape), dtype=result.dtype, device=result.device
    )
    return ordered.copy_(result)


def _channels_last_stride(shape: Sequence[int]) -> tuple[int, ...]:
    _, channels, height, width = shape
    return height * width * channels, 1, width * channels, channels


def fits(state: Tensor, shape: Sequence[int]) -> bool:
    """Return whether a tensor has the positions of a shape, or single positions in some dimensions."""
    return state.ndim == len(shape) and all(own in (1, size) for own, size in zip(state.shape, shape, strict=True))
