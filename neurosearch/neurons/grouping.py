"""From labels to a layout: components of labels become units, equal signatures make a group.

Shape letters: n labels, u units of a group.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurosearch.neurons.components import Components
from neurosearch.neurons.labels import LabelGraph, Labels, Obstacle, Role
from neurosearch.neurons.units import FIXED, Block, Dimension, Frozen, GroupFacts, Layout, Units

IRREGULAR = "its units lie in an irregular order"
_HIDDEN_REASONS = ("kernel dimension",)


@dataclass(frozen=True)
class _Owner:
    """A dimension of a tensor and the roots of its labels."""

    tensor: str
    dimension: int
    roots: Labels
    role: Role


def layout_of(graph: LabelGraph, order: tuple[str, ...]) -> Units:
    """Return groups, blocks and sizes.

    Args:
        graph: What a trace found out.
        order: Names of all tensors, in the model's order, which is the order of the groups.
    """
    components = Components(graph)
    owners = _owners(graph, components)
    place = {name: index for index, name in enumerate(order)}
    owners.sort(key=lambda owner: (place[owner.tensor], owner.dimension))
    unit, group, sizes = _number(graph, components, owners)
    broken = _irregular(owners, unit, group, sizes)
    return _assemble(graph, components, owners, _Numbers(unit, group, sizes, broken))


@dataclass(frozen=True)
class _Numbers:
    """For each root, its unit and group; for each group, its size and whether its order is irregular."""

    unit: Labels
    group: Labels
    sizes: list[int]
    broken: frozenset[int]

    def kept(self) -> list[int]:
        return [index for index in range(len(self.sizes)) if index not in self.broken]


def _owners(graph: LabelGraph, components: Components) -> list[_Owner]:
    owners = []
    for index, (tensor, dimension) in enumerate(graph.owners):
        roots = components.root[graph.starts[index] : graph.starts[index] + graph.lengths[index]]
        owners.append(_Owner(tensor, dimension, roots, _role(graph.roles.get(index, set()))))
    return owners


def _role(roles: set[Role]) -> Role:
    if Role.DERIVED in roles:
        return Role.DERIVED
    if len(roles) > 1:
        return Role.TIED if roles & {Role.INCOMING, Role.OUTGOING} else Role.OTHER
    return next(iter(roles), Role.OTHER)


def _number(graph: LabelGraph, components: Components, owners: list[_Owner]) -> tuple[Labels, Labels, list[int]]:
    """Number units and groups; a group's units in the order of the first dimension that lists them.

    Two units are alike when they occupy equally many positions of each dimension; the signature of a unit is the sum of
    one random 64-bit number per position it occupies.
    """
    draw = np.random.default_rng(0).integers(1, 2**63, size=max(len(owners), 1), dtype=np.uint64)
    signature: NDArray[np.uint64] = np.zeros(graph.count, dtype=np.uint64)
    for owner, number in zip(owners, draw, strict=False):
        np.add.at(signature, owner.roots, number)
    unit = np.full(graph.count, -1, dtype=np.int64)
    group = np.full(graph.count, FIXED, dtype=np.int64)
    sizes: list[int] = []
    found: dict[int, int] = {}
    for owner in owners:
        free = owner.roots[~components.is_frozen[owner.roots] & (group[owner.roots] == FIXED)]
        if not len(free):
            continue
        _, first = np.unique(free, return_index=True)
        for root in free[np.sort(first)].tolist():
            index = found.setdefault(int(signature[root]), len(sizes))
            if index == len(sizes):
                sizes.append(0)
            group[root], unit[root] = index, sizes[index]
            sizes[index] += 1
    return unit, group, sizes


def _irregular(owners: list[_Owner], unit: Labels, group: Labels, sizes: list[int]) -> frozenset[int]:
    """Return the groups whose units do not lie in order, all of them, in each run of positions."""
    broken: set[int] = set()
    for owner in owners:
        for start, stop, index in _runs(group[owner.roots]):
            if index != FIXED and _repeat(unit[owner.roots[start:stop]], sizes[index]) is None:
                broken.add(index)
    return frozenset(broken)


def _runs(groups: Labels) -> list[tuple[int, int, int]]:
    """Return (start, stop, group) of the longest runs of positions with one group."""
    if not len(groups):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    return [(start, stop, int(groups[start])) for start, stop in pairwise(cuts)]


def _repeat(units: Labels, size: int) -> int | None:
    """Return how often in a row each unit stands if a run lists all units in order, else None."""
    changes = np.flatnonzero(units != units[0])
    repeat = int(changes[0]) if len(changes) else len(units)
    if len(units) % (size * repeat):
        return None
    wanted = np.tile(np.repeat(np.arange(size), repeat), len(units) // (size * repeat))
    return repeat if np.array_equal(units, wanted) else None


def _assemble(graph: LabelGraph, components: Components, owners: list[_Owner], numbers: _Numbers) -> Units:
    kept = numbers.kept()
    renumber = {old: new for new, old in enumerate(kept)}
    blocks = {(o.tensor, o.dimension): _blocks(numbers, renumber, o.roots) for o in owners}
    tensors: dict[str, list[Dimension]] = {}
    for (tensor, _), dimension in blocks.items():
        tensors.setdefault(tensor, []).append(dimension)
    dynamic = {
        name: tuple(dimensions)
        for name, dimensions in tensors.items()
        if any(block.group != FIXED for dimension in dimensions for block in dimension)
    }
    roles = {
        (o.tensor, o.dimension): str(o.role)
        for o in owners
        if any(block.group != FIXED for block in blocks[o.tensor, o.dimension])
    }
    facts = _facts(graph, components, owners, numbers)
    frozen = _frozen(components, owners, numbers)
    return Units(Layout(facts, dynamic, roles, (), frozen), tuple(numbers.sizes[index] for index in kept))


def _blocks(numbers: _Numbers, renumber: dict[int, int], roots: Labels) -> Dimension:
    result: list[Block] = []
    for start, stop, index in _runs(numbers.group[roots]):
        if index not in renumber:
            length = stop - start
            if result and result[-1].group == FIXED:
                length += result.pop().repeat
            result.append(Block(FIXED, length))
            continue
        size = numbers.sizes[index]
        repeat = _repeat(numbers.unit[roots[start:stop]], size)
        assert repeat is not None
        result += [Block(renumber[index], repeat)] * ((stop - start) // (size * repeat))
    return tuple(result)


def _facts(
    graph: LabelGraph, components: Components, owners: list[_Owner], numbers: _Numbers
) -> tuple[GroupFacts, ...]:
    obstacles: list[dict[str, str]] = [{} for _ in numbers.sizes]
    for labels, obstacle, words in graph.obstacles:
        for index in _groups_at(numbers, components.root[labels]):
            obstacles[index].setdefault(str(obstacle), words)
    roles: list[dict[Role, str]] = [{} for _ in numbers.sizes]
    for owner in owners:
        for index in _groups_at(numbers, owner.roots):
            roles[index].setdefault(owner.role, owner.tensor)
    for index, found in enumerate(roles):
        obstacles[index] |= _obstacles_of_roles(found)
    names = _names(owners, numbers)
    return tuple(
        GroupFacts(names[index], 2 if Obstacle.NEEDS_TWO in obstacles[index] else 1, obstacles[index])
        for index in numbers.kept()
    )


def _groups_at(numbers: _Numbers, roots: Labels) -> list[int]:
    """Return the groups that occur among some roots."""
    return [index for index in np.unique(numbers.group[roots]).tolist() if index != FIXED]


def _obstacles_of_roles(tensors: dict[Role, str]) -> dict[str, str]:
    """Return what the roles of a group's tensors mean for new units, given one tensor of each role."""
    found: dict[str, str] = {}
    for role, obstacle in ((Role.TIED, Obstacle.TIED), (Role.DERIVED, Obstacle.DERIVED)):
        if role in tensors:
            found[str(obstacle)] = tensors[role]
    for role, obstacle in ((Role.OUTGOING, Obstacle.NO_OUTGOING), (Role.INCOMING, Obstacle.NO_INCOMING)):
        if role not in tensors and Role.TIED not in tensors:
            found[str(obstacle)] = f"no {role} weight"
    return found


def _names(owners: list[_Owner], numbers: _Numbers) -> dict[int, str]:
    """Name each group after the module that makes its units; a second one after the tensor, a third by number."""
    makers: dict[int, str] = {}
    for role in (Role.INCOMING, None):
        for owner in owners:
            for index in np.unique(numbers.group[owner.roots]).tolist():
                if index != FIXED and (role is None or owner.role is role):
                    makers.setdefault(index, owner.tensor)
    names: dict[int, str] = {}
    taken: set[str] = set()
    for index in numbers.kept():
        tensor = makers[index]
        choices = [tensor.rpartition(".")[0] or tensor, tensor, *(f"{tensor}#{n}" for n in range(2, len(makers) + 2))]
        names[index] = next(name for name in choices if name not in taken)
        taken.add(names[index])
    return names


def _frozen(components: Components, owners: list[_Owner], numbers: _Numbers) -> tuple[Frozen, ...]:
    reasons = components.reasons()
    result = []
    for owner in owners:
        for root in owner.roots.tolist():
            index = int(numbers.group[root])
            reason = reasons.get(root) if index == FIXED else IRREGULAR if index in numbers.broken else None
            if reason is not None:
                if reason not in _HIDDEN_REASONS:
                    result.append(Frozen(owner.tensor, owner.dimension, reason))
                break
    return tuple(result)
