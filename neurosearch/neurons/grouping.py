"""From labels to groups: components of labels become units, equal signatures make a group.

Shape letters: n labels, u units of a group.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurosearch.neurons.components import Components
from neurosearch.neurons.labels import LabelGraph, Labels, Role
from neurosearch.neurons.units import FIXED

IRREGULAR = "its units lie in an irregular order"
CUT = "code cuts its units into parts of unequal length, and each one that goes would move others to another part"


class Run(NamedTuple):
    """Positions of a dimension that lie side by side: all units of one group once, or positions of none.

    Attributes:
        root: Root of the first position.
        length: Number of positions.
        group: Index of the group, or `FIXED`.
        repeat: How often in a row each unit stands; 0 if the run does not list all units in order.
    """

    root: int
    length: int
    group: int
    repeat: int


@dataclass(frozen=True)
class Owner:
    """A dimension of a tensor: what it does for its units, and whose positions it holds."""

    tensor: str
    dimension: int
    role: Role
    runs: tuple[Run, ...]

    @property
    def groups(self) -> dict[int, None]:
        """The groups that occur here, in order."""
        return {run.group: None for run in self.runs if run.group != FIXED}


@dataclass(frozen=True)
class Grouping:
    """Every dimension in the model's order, and the groups.

    Attributes:
        owners: The dimensions.
        sizes: Units of each group, in order of first appearance.
        group: Group of each root.
        broken: Groups whose units cannot come and go one by one, and why.
    """

    owners: tuple[Owner, ...]
    sizes: tuple[int, ...]
    group: Labels
    broken: Mapping[int, str]


def grouping_of(graph: LabelGraph, components: Components) -> Grouping:
    """Return the groups.

    Args:
        graph: What a trace found out; its owners come first and in the model's order, which is the order of the groups.
        components: Its components.
    """
    lengths = np.array(graph.lengths, dtype=np.int64)
    if not len(lengths):
        return Grouping((), (), np.zeros(0, dtype=np.int64), {})
    roots = components.root[: lengths.sum()]  # of all dimensions, one after the other
    unit, group, sizes = _number(roots, lengths, components)
    runs = _runs(roots, lengths, (unit, group), sizes)
    owners = tuple(
        Owner(*owner, _role(graph.roles.get(index, set())), own)
        for index, (owner, own) in enumerate(zip(graph.owners, runs, strict=True))
    )
    broken = {run.group: IRREGULAR for own in runs for run in own if run.group != FIXED and not run.repeat}
    broken |= dict.fromkeys(_cut(graph, components, group, sizes), CUT)
    return Grouping(owners, tuple(sizes), group, broken)


def _cut(graph: LabelGraph, components: Components, group: Labels, sizes: list[int]) -> Iterator[int]:
    """Yield the groups of which a part holds some units and not all, where code cuts a dimension into unequal parts.

    Where a part begins then follows from the number of all units, so each one that goes moves others to another part.
    """
    for part in (part for parts in graph.cuts for part in parts):
        held, counts = np.unique(group[np.unique(components.root[part])], return_counts=True)
        for index, count in zip(held.tolist(), counts.tolist(), strict=True):
            if index != FIXED and count < sizes[index]:
                yield index


def _role(roles: set[Role]) -> Role:
    if Role.DERIVED in roles:
        return Role.DERIVED
    if len(roles) > 1:
        return Role.TIED if roles & {Role.INCOMING, Role.OUTGOING} else Role.OTHER
    return next(iter(roles), Role.OTHER)


def _number(roots: Labels, lengths: Labels, components: Components) -> tuple[Labels, Labels, list[int]]:
    """Number units and groups; a group's units in the order of the first dimension that lists them.

    Two units are alike when they occupy equally many positions of each dimension; the signature of a unit is the sum of
    one random 64-bit number per position it occupies.
    """
    draw = np.random.default_rng(0).integers(1, 2**63, size=len(lengths), dtype=np.uint64)
    signature: NDArray[np.uint64] = np.zeros(len(components.root), dtype=np.uint64)
    np.add.at(signature, roots, np.repeat(draw, lengths))
    unit = np.full(len(components.root), -1, dtype=np.int64)
    group = np.full(len(components.root), FIXED, dtype=np.int64)
    sizes: list[int] = []
    is_root = roots == np.arange(len(roots))  # where a component appears first: its root is its smallest label
    free = roots[is_root & ~components.is_frozen[: len(roots)]]
    own, places, inverse = np.unique(signature[free], return_index=True, return_inverse=True)
    for index, which in enumerate(np.argsort(places).tolist()):
        alike = free[inverse == which]
        group[alike], unit[alike] = index, np.arange(len(alike))
        sizes.append(len(alike))
    assert len(own) == len(sizes)
    return unit, group, sizes


def _runs(roots: Labels, lengths: Labels, numbers: tuple[Labels, Labels], sizes: list[int]) -> list[tuple[Run, ...]]:
    """Return, for each dimension, the longest runs of positions with one group."""
    units, groups = (values[roots] for values in numbers)
    ends = np.cumsum(lengths)
    is_cut = np.ones(len(roots) + 1, dtype=np.bool_)
    is_cut[1:-1] = groups[1:] != groups[:-1]
    is_cut[ends] = True
    cuts = np.flatnonzero(is_cut)
    owner = np.searchsorted(ends, cuts[:-1], side="right").tolist()
    result: list[list[Run]] = [[] for _ in lengths]
    first_roots, own_groups, bounds = roots[cuts[:-1]].tolist(), groups[cuts[:-1]].tolist(), cuts.tolist()
    # Most runs list the units of a group once: all are told at a glance.
    counts = np.arange(len(units)) - np.repeat(cuts[:-1], np.diff(cuts))
    is_list = np.logical_and.reduceat(units == counts, cuts[:-1]).tolist()
    for place, (which, index, root) in enumerate(zip(owner, own_groups, first_roots, strict=True)):
        start, stop = bounds[place : place + 2]
        if index == FIXED:
            repeats = []
        elif stop - start == sizes[index]:
            repeats = [1] if is_list[place] else []
        else:
            repeats = _repeats(units[start:stop], sizes[index])
        if not repeats:
            result[which].append(Run(root, stop - start, index, 0))
        for repeat in repeats:
            result[which].append(Run(root, sizes[index] * repeat, index, repeat))
    return [tuple(own) for own in result]


def _repeats(units: Labels, size: int) -> list[int]:
    """Return how often in a row each unit stands, for each time that a run lists all units in order; else nothing."""
    starts = np.concatenate([[0], np.flatnonzero(units[1:] != units[:-1]) + 1])
    if len(starts) % size or not np.array_equal(units[starts], np.tile(np.arange(size), len(starts) // size)):
        return []
    table = np.diff(starts, append=len(units)).reshape(-1, size)
    repeats: list[int] = table[:, 0].tolist()
    return repeats if (table == table[:, :1]).all() else []
