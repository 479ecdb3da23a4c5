"""The one primitive: a tensor of other widths from `{dimension: old positions, with -1 for new}`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurosearch.neurons.units import FIXED, Dimension, Units


@dataclass(frozen=True, eq=False)
class Reindex:
    """What becomes of one dimension.

    Attributes:
        source: For each new position, the old one, and 0 for one that is new.
        fresh: New positions that have no old one.
        kept: Number of old positions that come first and in their old order; all of them if nothing else changes.
        old_size: Old number of positions.
    """

    source: Tensor
    fresh: Tensor
    kept: int
    old_size: int

    @property
    def size(self) -> int:
        """New number of positions."""
        return len(self.source)

    @property
    def only_appends(self) -> bool:
        """Whether all old positions stay where they are and new ones follow."""
        return self.kept == self.old_size


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
        self._found: dict[tuple[Dimension, torch.device], Reindex] = {}

    def of(self, tensor: str, device: torch.device) -> dict[int, Reindex]:
        """Return what becomes of the dimensions of a tensor that change."""
        return {
            dimension: self._of_blocks(blocks, device)
            for dimension, blocks in enumerate(self._units.layout.tensors[tensor])
            if any(block.group in self._changed for block in blocks)
        }

    def _of_blocks(self, blocks: Dimension, device: torch.device) -> Reindex:
        key = (blocks, device)
        if key not in self._found:
            self._found[key] = self._make(blocks, device)
        return self._found[key]

    def _make(self, blocks: Dimension, device: torch.device) -> Reindex:
        parts: list[Tensor] = []
        old = 0
        for group, repeat in blocks:
            size = 1 if group == FIXED else self._units.sizes[group]
            kept = self._kept.get(group)
            if kept is None:
                parts.append(torch.arange(old, old + size * repeat))
            elif repeat == 1:
                parts.append(kept + old)
            else:
                parts.append((kept[:, None] * repeat + torch.arange(old, old + repeat)).flatten())
            if added := self._added.get(group, 0) * repeat:
                parts.append(torch.full((added,), -1))
            old += size * repeat
        source = torch.cat(parts) if len(parts) > 1 else parts[0]
        fresh = (source < 0).nonzero().flatten()
        is_prefix = len(fresh) == len(source) - old and torch.equal(source[:old], torch.arange(old))
        return Reindex(source.clamp(min=0).to(device), fresh.to(device), old if is_prefix else 0, old)


def reindexed(tensor: Tensor, dimensions: Mapping[int, Reindex]) -> Tensor:
    """Return a tensor of the new widths; new positions hold 0. The old tensor is untouched.

    Args:
        tensor: Any tensor with the positions of the parameter, or with single positions in some dimensions.
        dimensions: What becomes of each changed dimension.
    """
    changes = {index: change for index, change in dimensions.items() if tensor.shape[index] == change.old_size}
    if not changes:
        return tensor.clone()
    if all(change.only_appends for change in changes.values()):
        return _like(tensor, _appended(tensor, changes))
    result = tensor
    # The dimension that shrinks most comes first, so that the others copy less.
    for index, change in sorted(changes.items(), key=lambda item: item[1].size / item[1].old_size):
        result = result.index_select(index, change.source)
        if len(change.fresh):
            result.index_fill_(index, change.fresh, 0)
    return _like(tensor, result)


def _appended(tensor: Tensor, changes: Mapping[int, Reindex]) -> Tensor:
    shape = [changes[index].size if index in changes else size for index, size in enumerate(tensor.shape)]
    result = tensor.new_zeros(shape)
    inner = result
    for index, change in changes.items():
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
