"""From groups to a layout: blocks of every dimension, names, and what stands in the way of new units."""

import numpy as np

from neurosearch.neurons.components import Components
from neurosearch.neurons.grouping import Grouping, Run, grouping_of
from neurosearch.neurons.labels import LabelGraph, Obstacle, Role
from neurosearch.neurons.units import FIXED, Binding, Block, Dimension, Frozen, GroupFacts, Layout, Units

_HIDDEN_REASONS = ("kernel dimension",)


def units_of(graph: LabelGraph) -> Units:
    """Return groups, blocks and sizes.

    Args:
        graph: What a trace found out.
    """
    components = Components(graph)
    grouping = grouping_of(graph, components)
    kept = [index for index in range(len(grouping.sizes)) if index not in grouping.broken]
    renumber = {old: new for new, old in enumerate(kept)}
    tensors: dict[str, list[Dimension]] = {}
    for owner in grouping.owners:
        tensors.setdefault(owner.tensor, []).append(_blocks(owner.runs, grouping.sizes, renumber))
    dynamic = {name: tuple(dimensions) for name, dimensions in tensors.items() if any(map(_changes, dimensions))}
    roles = {
        (owner.tensor, owner.dimension): str(owner.role)
        for owner in grouping.owners
        if owner.tensor in dynamic and _changes(dynamic[owner.tensor][owner.dimension])
    }
    facts = _facts(graph, components, grouping, kept)
    frozen = _frozen(components, grouping)
    bindings = _bindings(graph, components, grouping, renumber)
    return Units(Layout(facts, dynamic, roles, bindings, frozen), tuple(grouping.sizes[index] for index in kept))


def has_strays(graph: LabelGraph) -> bool:
    """Return whether code made a tensor wider, although its positions are no units: it counts them."""
    if not graph.followed:
        return False
    components = Components(graph)
    group = grouping_of(graph, components).group
    return any((group[components.root[labels]] == FIXED).any() for labels in graph.followed)


def groups_of_cuts(graph: LabelGraph) -> list[str]:
    """Return the names of the groups in dimensions that code cuts into parts of different lengths."""
    if not graph.cuts:
        return []
    components = Components(graph)
    grouping = grouping_of(graph, components)
    kept = [index for index in range(len(grouping.sizes)) if index not in grouping.broken]
    parts = np.concatenate([part for parts in graph.cuts for part in parts])
    cut = set(grouping.group[components.root[parts]].tolist())
    names = _names(grouping, kept)
    return [names[index] for index in kept if index in cut]


def _bindings(
    graph: LabelGraph, components: Components, grouping: Grouping, renumber: dict[int, int]
) -> tuple[Binding, ...]:
    """Return the attributes that hold the number of some positions, all of them units of one group."""
    found = []
    for (module, attribute), seen in graph.followers.items():
        places = set()
        for labels in seen:
            roots, counts = np.unique(components.root[labels], return_counts=True)
            groups, factors = set(grouping.group[roots].tolist()), set(counts.tolist())
            group, factor = groups.pop(), factors.pop()
            is_whole = not groups and not factors and group in renumber and len(roots) == grouping.sizes[group]
            places.add((group, factor) if is_whole else None)
        place = places.pop()
        if place is not None and not places:
            found.append(Binding(module, attribute, renumber[place[0]], place[1]))
    return tuple(found)


def _changes(blocks: Dimension) -> bool:
    return any(block.group != FIXED for block in blocks)


def _blocks(runs: tuple[Run, ...], sizes: tuple[int, ...], renumber: dict[int, int]) -> Dimension:
    result: list[Block] = []
    for run in runs:
        if run.group in renumber:
            result += [Block(renumber[run.group], run.repeat)] * (run.length // (sizes[run.group] * run.repeat))
        elif result and result[-1].group == FIXED:
            result.append(Block(FIXED, result.pop().repeat + run.length))
        else:
            result.append(Block(FIXED, run.length))
    return tuple(result)


def _facts(graph: LabelGraph, components: Components, grouping: Grouping, kept: list[int]) -> tuple[GroupFacts, ...]:
    obstacles: list[dict[str, str]] = [{} for _ in grouping.sizes]
    group = grouping.group[components.root]
    for labels, obstacle, words in graph.obstacles:
        own = group[labels]
        # Most labels belong to one group, which is sooner seen than a set of all is made.
        touched = {int(own[0])} if len(own) and (own == own[0]).all() else set(own.tolist())
        for index in touched - {FIXED}:
            obstacles[index].setdefault(str(obstacle), words)
    roles: list[dict[Role, str]] = [{} for _ in grouping.sizes]
    for owner in grouping.owners:
        for index in owner.groups:
            roles[index].setdefault(owner.role, owner.tensor)
    for index, found in enumerate(roles):
        obstacles[index] |= _obstacles_of_roles(found)
        if Role.OTHER in found:
            words = f"what {found[Role.OTHER]} does for them is not known"
            obstacles[index].setdefault(str(Obstacle.MOVES_ZERO), words)
    minima = [2 if Obstacle.NEEDS_TWO in found else 1 for found in obstacles]
    for labels, number in graph.floors:
        owners = grouping.group[components.root[labels]].tolist()
        for index in set(owners) - {FIXED}:
            floor = 1 + number * grouping.sizes[index] // owners.count(index)
            minima[index] = max(minima[index], min(floor, grouping.sizes[index]))
    names = _names(grouping, kept)
    return tuple(GroupFacts(names[index], minima[index], obstacles[index]) for index in kept)


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


def _names(grouping: Grouping, kept: list[int]) -> dict[int, str]:
    """Name each group after the module that makes its units; a second one after the tensor, a third by number."""
    makers: dict[int, str] = {}
    for role in (Role.INCOMING, None):
        for owner in grouping.owners:
            if role is None or owner.role is role:
                for index in owner.groups:
                    makers.setdefault(index, owner.tensor)
    names: dict[int, str] = {}
    taken: set[str] = set()
    for index in kept:
        tensor = makers[index]
        choices = [tensor.rpartition(".")[0] or tensor, tensor, *(f"{tensor}#{n}" for n in range(2, len(makers) + 2))]
        names[index] = next(name for name in choices if name not in taken)
        taken.add(names[index])
    return names


def _frozen(components: Components, grouping: Grouping) -> tuple[Frozen, ...]:
    reasons = components.reasons()
    result = []
    for owner in grouping.owners:
        for run in owner.runs:
            reason = reasons[run.root] if run.group == FIXED else grouping.broken.get(run.group)
            if reason is not None:
                if reason not in _HIDDEN_REASONS:
                    result.append(Frozen(owner.tensor, owner.dimension, reason))
                break
    return tuple(result)
