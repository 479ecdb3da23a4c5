"""Merging: what a unit gave to the next layers is added to what its near-duplicate gives, before the unit goes.

The inverse of a `shared_copy`. Our reading of condensation reduction (arXiv:2405.01041): neurons of a layer whose
incoming weights, biases included, point in the same direction are replaced by one, whose outgoing weights are the sum
of theirs. Theirs are weighed by length, since r times a unit's incoming weights make r times its output where every
operation on the unit allows that. The paper merges all neurons of a direction; we merge those that a pruning removes
anyway, so that the sizes are the policy's.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.growable import NOT_PLAIN
from neurosearch.neurons.journal import Journal
from neurosearch.neurons.labels import Obstacle, Role
from neurosearch.neurons.positions import positions_of
from neurosearch.neurons.units import Group, Slice, Units

_REFUSED: dict[Obstacle, str] = {
    **NOT_PLAIN,
    Obstacle.NORMALISED: "a mean or variance is taken over its units ({words}), in which two count as two",
    Obstacle.NO_OUTGOING: "no weight uses its units",
}


class Merge(NamedTuple):
    """What becomes of the outgoing weights of one removed unit.

    Attributes:
        source: Its position.
        target: Position of the unit that stays, to whose outgoing weights they are added.
        factor: What they are multiplied by, above 0: the unit's output in units of the other's.
    """

    source: int
    target: int
    factor: float


def merge_refusals(units: Units) -> dict[str, str]:
    """Return the groups whose units cannot be merged, by name, and why in words."""
    found = {}
    for index, facts in enumerate(units.layout.groups):
        words = [why.format(words=facts.obstacles[one]) for one, why in _REFUSED.items() if one in facts.obstacles]
        words += [_refusal(units, index, part) for part in units.layout.slices[index]]
        if reasons := [one for one in words if one]:
            found[facts.name] = reasons[0]
    return found


def _refusal(units: Units, group: int, part: Slice) -> str:
    if part.role == Role.OTHER:
        return f"what {part.tensor} does for its units is not known"
    blocks = [block for block in units.layout.tensors[part.tensor][part.dimension] if block.group == group]
    if part.role == Role.INCOMING and (len(blocks), blocks[0].repeat) != (1, 1):
        return f"each of its units is several rows of {part.tensor}, as an attention head is"
    return ""


def checked(units: Units, group: Group, removed: Sequence[int], merges: Iterable[Merge]) -> tuple[Merge, ...]:
    """Return the merges of a group by their sources.

    Raises:
        SurgeryError: If the group's units cannot be merged, or a merge is not from a unit that goes, once, to one that
            stays, times a number above 0.
    """
    given = tuple(sorted(merges))
    why = merge_refusals(units).get(group.name) if given else None
    if why is not None:
        raise SurgeryError(f"group {group.name} cannot be merged: {why}. Prune it without merging.")
    if (wrong := misfit(group.size, removed, given)) is not None:
        raise SurgeryError(f"group {group.name}: {wrong}. Merge units that go into units that stay.")
    return given


def misfit(size: int, removed: Sequence[int], merges: Sequence[Merge]) -> str | None:
    """Return what is wrong with the merges of a group, or None."""
    gone = set(removed)
    if len({merge.source for merge in merges}) < len(merges):
        return "a unit is merged twice"
    for source, target, factor in merges:
        if source not in gone:
            return f"unit {source} is to be merged and stays"
        if target in gone or not 0 <= target < size:
            return f"unit {source} is to be merged into {target}, which is not there afterwards"
        if not (isfinite(factor) and factor > 0):
            return f"unit {source} is to be merged times {factor}"
    return None


def merge(tensors: Mapping[str, Tensor], units: Units, merged: Mapping[str, Sequence[Merge]], journal: Journal) -> None:
    """Add the outgoing weights of units to those of others, in place.

    Moments in an optimizer's state stay: they are those of the unit that stays.

    Args:
        tensors: Of the network or a copy of it, by name; those that are missing are passed over.
        units: Its units.
        merged: The merges of each group, by name.
        journal: Where it is noted how to take them back, bit for bit.
    """
    for name, merges in merged.items():
        group = units.layout.index[name]
        for part in units.layout.slices[group]:
            if part.role == Role.OUTGOING and part.tensor in tensors and merges:
                _add(tensors[part.tensor], units, part, group, merges, journal)


def _add(tensor: Tensor, units: Units, part: Slice, group: int, merges: Sequence[Merge], journal: Journal) -> None:
    positions, dimension, data = positions_of(units, part, group), part.dimension, tensor.data
    sources, targets = (torch.tensor([one[place] for one in merges], dtype=torch.long) for place in (0, 1))
    kept = torch.tensor(sorted({one.target for one in merges}))
    touched = positions(kept).flatten().to(data.device)
    journal.did(partial(_put_back, tensor, dimension, touched, data.index_select(dimension, touched)))
    # One after the other: a device adds several to one in any order, and all processes must add alike.
    for source, target, one in zip(positions(sources), positions(targets), merges, strict=True):
        values = data.index_select(dimension, source.to(data.device))
        data.index_add_(dimension, target.to(data.device), values, alpha=one.factor)


def _put_back(tensor: Tensor, dimension: int, positions: Tensor, values: Tensor) -> None:
    tensor.data.index_copy_(dimension, positions, values)
