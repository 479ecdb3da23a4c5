"""Proves found units by running the model at other widths.

A number that code holds on to, such as the 12 in a reshape to (..., 12, 64), shows up as an error or as other units.
Then the groups that are to blame are searched by halving. Where a module keeps the number as an attribute, that is
bound to the group's size if it mends the failure; otherwise the group is frozen, with the error as the reason. What was
learnt of one module holds for all of its class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, zip_longest
from types import TracebackType

import numpy as np
from torch import nn

from neurosearch.neurons.describing import groups_of_cuts, has_strays, units_of
from neurosearch.neurons.forward import Pass, Trace
from neurosearch.neurons.labels import LabelGraph, Labels
from neurosearch.neurons.script import Script, WidthReadError
from neurosearch.neurons.tracer import describe
from neurosearch.neurons.units import FIXED, Binding, Units

FAILS = "fails at another width"
DIFFERS = "computes something else at another width"
SINGLE = "all its positions are coupled, so none can go alone; at another width the code couples others"
MOVED = "at another width the code couples other positions"
COUNTED = "code counts its positions with a tensor of as many, whose values do not follow single units"
_MOST_CANDIDATES = 8
_MANY = 13  # units; more than rounding of a share can hide


@dataclass(frozen=True)
class _Failure:
    """Why a network does not work at other widths.

    Attributes:
        reason: In words.
        modules: Names of the modules whose forward was running, innermost first.
        groups: Groups that are known to be to blame.
        can_follow: Whether an attribute that follows the width might mend it.
    """

    reason: str
    modules: tuple[str, ...]
    groups: frozenset[int]
    can_follow: bool = True


class Proof:
    """Finds the largest set of groups that works at any width.

    Args:
        run: How to run the model.
        trace: What a run at the model's own widths found out.
    """

    def __init__(self, run: Pass, trace: Trace) -> None:
        self._run = run
        self._trace = trace
        self._scripts: dict[tuple[str, ...], Script] = {}
        self._is_warm = False
        self._bound: list[tuple[str, Binding]] = []  # with the group's name: indices change when groups are frozen
        self._frozen: list[tuple[str, int, Labels]] = []  # tensor, dimension, positions at the model's own widths

    def units(self) -> Units:
        """Return the units, all of them proven together."""
        while True:
            units = self._layout()
            if not units.sizes:
                return units
            everything = tuple(range(len(units.sizes)))
            result = self._attempt(units, everything)
            if isinstance(result, Units):
                unfit = self._cut_by_share(result)
                if not unfit:
                    return result
                for group, reason in unfit.items():
                    self._freeze(result, group, reason)
                continue
            mended: set[int] = set()
            for group in sorted(self._culprits(units, result)):
                if group not in mended:
                    mended |= self._mend(units, group, result)

    def _cut_by_share(self, units: Units) -> dict[int, str]:
        """Return the groups that code cuts apart by shares of all, and why: none of them can change without the others.

        A run with all groups wider can fit such code by chance: a third of 2 + 4 units is 2, of 3 + 6 it is 3.
        """
        found = {}
        for name in groups_of_cuts(self._trace.graph):
            group = units.layout.index[name]
            alone = self._compared(units, (group,), _MANY)
            if isinstance(alone, _Failure):
                found[group] = alone.reason
        return found

    def _layout(self) -> Units:
        units = units_of(self._trace.graph)
        index = units.layout.index
        bindings = tuple(binding._replace(group=index[name]) for name, binding in self._bound if name in index)
        return replace(units, layout=replace(units.layout, bindings=units.layout.bindings + bindings))

    def _attempt(self, units: Units, groups: Sequence[int]) -> Units | _Failure:
        """Run the model with some groups wider, each by another number of units, and compare."""
        result = self._compared(units, groups)
        if isinstance(result, _Failure) and not result.can_follow and not self._is_warm:
            # Code that keeps what it computed once, such as position encodings, does less from the second run on.
            self._is_warm = True
            self._trace = replace(self._trace, script=self._run.follow({}, {}).script)
            self._scripts.clear()
            return self._compared(units, groups)
        return result

    def _compared(self, units: Units, groups: Sequence[int], by: int | None = None) -> Units | _Failure:
        added = {group: 1 + group % 13 if by is None else by for group in groups}
        wider = units.with_sizes(tuple(size + added.get(index, 0) for index, size in enumerate(units.sizes)))
        shapes = {name: wider.shape(name) for name in units.layout.tensors}
        model = self._run.model
        try:
            trace = self._run.follow(shapes, wider.settings(), self._own_script(units))
        except WidthReadError as error:
            reason = f"the code of {where(error, model)} {DIFFERS}: {error}"
            return _Failure(reason, tuple(_paths(error, model)), frozenset(), can_follow=False)
        except Exception as error:  # noqa: BLE001  the user's forward raises anything
            reason = f"the code of {where(error, model)} {FAILS}: {_first_line(error)}"
            return _Failure(reason, tuple(_paths(error, model)), frozenset())
        for tensor, dimension, positions in self._frozen:
            moved = _moved(units, wider, tensor, dimension, positions)
            _freeze(trace.graph, tensor, dimension, moved, "")
        if trace.outputs != self._trace.outputs:
            return _Failure("the shape of the network's output follows it", ("",), frozenset())
        if has_strays(trace.graph):
            return _Failure(COUNTED, ("",), frozenset(), can_follow=False)
        return _agreed(units, units_of(trace.graph))

    def _own_script(self, units: Units) -> Script:
        """Return what the code asks for at the model's own widths, with the same values as in the runs at others.

        Without values that is what the trace saw. With values, those of all tensors that change are 0 in both.
        """
        if self._run.on_meta:
            return self._trace.script
        names = tuple(units.layout.tensors)
        if names not in self._scripts:
            shapes = {name: units.shape(name) for name in names}
            self._scripts[names] = self._run.follow(shapes, units.settings()).script
        return self._scripts[names]

    def _culprits(self, units: Units, failure: _Failure) -> set[int]:
        if failure.groups:
            return set(failure.groups)
        near = _near(units, failure.modules)
        return (
            self._halve(units, near)
            or self._halve(units, sorted(set(range(len(units.sizes))) - set(near)))
            or set(near)
        )

    def _halve(self, units: Units, groups: Sequence[int]) -> set[int]:
        """Return which of some groups fail on their own, or all of them if they only fail together."""
        if not groups or isinstance(self._attempt(units, groups), Units):
            return set()
        if len(groups) == 1:
            return set(groups)
        middle = len(groups) // 2
        return self._halve(units, groups[:middle]) | self._halve(units, groups[middle:]) or set(groups)

    def _mend(self, units: Units, group: int, failure: _Failure) -> set[int]:
        """Bind attributes of the failing modules to a group's size if that mends it; freeze the group otherwise.

        Returns:
            The groups that were bound or frozen: this one, and those in the same place of modules of the same class.
        """
        alone = self._attempt(units, (group,))
        failure = alone if isinstance(alone, _Failure) else failure
        alike = self._alike(units, group, failure.modules)
        if not failure.groups and failure.can_follow:
            for bindings in _choices(units, group, self._run.model, failure.modules):
                layout = replace(units.layout, bindings=(*units.layout.bindings, *bindings))
                if isinstance(self._attempt(replace(units, layout=layout), (group,)), Units):
                    self._bind(units, group, bindings, alike)
                    return {group, *alike}
        for one in (group, *alike):
            self._freeze(units, one, failure.reason)
        return {group, *alike}

    def _bind(self, units: Units, group: int, bindings: Sequence[Binding], alike: dict[int, tuple[str, str]]) -> None:
        for binding in bindings:
            self._bound.append((units.layout.groups[group].name, binding))
            for other, (here, there) in alike.items():
                if binding.module.startswith(here):
                    moved = binding._replace(module=there + binding.module.removeprefix(here))
                    self._bound.append((units.layout.groups[other].name, moved))

    def _alike(self, units: Units, group: int, modules: Sequence[str]) -> dict[int, tuple[str, str]]:
        """Return groups that lie in another module of the failing one's class where this group lies in the failing one.

        Returns:
            For each such group, the name of the failing module and that of its own one.
        """
        here, model = modules[0], self._run.model
        kind = type(model.get_submodule(here))
        inside = {
            (part.tensor.removeprefix(f"{here}."), part.dimension)
            for part in units.layout.slices[group]
            if here and part.tensor.startswith(f"{here}.")
        }
        found: dict[int, tuple[str, str]] = {}
        for name, module in model.named_modules():
            if inside and name != here and type(module) is kind:
                for other, slices in enumerate(units.layout.slices):
                    places = {(part.tensor.removeprefix(f"{name}."), part.dimension) for part in slices}
                    if other != group and inside & places:
                        found.setdefault(other, (here, name))
        return found

    def _freeze(self, units: Units, group: int, reason: str) -> None:
        part = units.layout.slices[group][0]
        blocks = units.layout.tensors[part.tensor][part.dimension]
        lengths = [
            block.repeat if block.group == FIXED else block.repeat * units.sizes[block.group] for block in blocks
        ]
        owners = np.repeat([block.group for block in blocks], lengths)
        positions = np.flatnonzero(owners == group)
        self._frozen.append((part.tensor, part.dimension, positions))
        _freeze(self._trace.graph, part.tensor, part.dimension, positions, reason)


def _freeze(graph: LabelGraph, tensor: str, dimension: int, positions: Labels, reason: str) -> None:
    graph.freeze(graph.starts[graph.owners.index((tensor, dimension))] + positions, reason)


def _moved(units: Units, wider: Units, tensor: str, dimension: int, positions: Labels) -> Labels:
    """Return where some positions of a dimension are when groups are wider."""
    dimensions = units.layout.tensors.get(tensor)
    if dimensions is None:
        return positions  # nothing in this tensor moves
    parts: list[Labels] = []
    new = 0
    for group, repeat in dimensions[dimension]:
        old_length = repeat if group == FIXED else repeat * units.sizes[group]
        parts.append(np.arange(new, new + old_length))
        new += repeat if group == FIXED else repeat * wider.sizes[group]
    return np.concatenate(parts)[positions]


def where(error: Exception, model: nn.Module) -> str:
    """Return in words in which module an error was raised."""
    name = next(_paths(error, model))
    return describe(name, model.get_submodule(name))


def _paths(error: Exception, model: nn.Module) -> Iterator[str]:
    """Yield the name of the innermost module whose forward failed, then of its ancestors."""
    names = {id(module): name for name, module in model.named_modules()}
    innermost = ""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        innermost = names.get(id(traceback.tb_frame.f_locals.get("self")), innermost)
        traceback = traceback.tb_next
    parts = innermost.split(".") if innermost else []
    for length in range(len(parts), -1, -1):
        yield ".".join(parts[:length])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _near(units: Units, modules: Sequence[str]) -> list[int]:
    """Return the groups that the innermost module holds a part of, or its nearest ancestor that holds any."""
    for prefix in modules:
        inside = f"{prefix}." if prefix else ""
        found = [
            index
            for index, slices in enumerate(units.layout.slices)
            if any(part.tensor.startswith(inside) for part in slices)
        ]
        if found:
            return found
    return list(range(len(units.sizes)))


def _choices(units: Units, group: int, model: nn.Module, modules: Sequence[str]) -> Iterator[tuple[Binding, ...]]:
    """Yield sets of attributes that could be bound to a group's size: single ones first, then pairs."""
    size = units.sizes[group]
    lengths = {size}
    for part in units.layout.slices[group]:
        blocks = units.layout.tensors[part.tensor][part.dimension]
        lengths |= {units.length(blocks), sum(block.repeat for block in blocks if block.group == group) * size}
        lengths |= {block.repeat * size for block in blocks if block.group == group}
    found: list[Binding] = []
    shares: list[Binding] = []  # such as the number of heads of queries, several of which share one of keys
    for name in modules:
        for attribute, value in vars(model.get_submodule(name)).items():
            if type(value) is not int or value < 1 or value % size or (name, attribute) in units.settings():
                continue
            if value in lengths:
                found.append(Binding(name, attribute, group, value // size))
            elif any(length % value == 0 for length in lengths):
                shares.append(Binding(name, attribute, group, value // size))
    found = (found + shares)[:_MOST_CANDIDATES]
    yield from ((binding,) for binding in found)
    yield from combinations(found, 2)


def _agreed(units: Units, other: Units) -> Units | _Failure:
    """Compare the units of a network with those of the same network at other widths."""
    other = replace(other, layout=replace(other.layout, bindings=units.layout.bindings))
    if replace(other.layout, frozen=units.layout.frozen) == units.layout:  # as equal digests, and sooner told
        return units
    if 1 in units.sizes and _same_but_repeats(units, other):
        # One unit alone does not tell a run of repeats from repeated runs; the wider network does.
        return Units(replace(other.layout, frozen=units.layout.frozen), units.sizes)
    different = {
        block.group
        for tensor, dimensions in units.layout.tensors.items()
        for blocks, mine, theirs in zip_longest(dimensions, _named(units, tensor), _named(other, tensor))
        if mine != theirs
        for block in blocks
        if block.group != FIXED
    }
    different = different or set(range(len(units.sizes)))
    reason = SINGLE if all(units.sizes[group] == 1 for group in different) else MOVED
    return _Failure(reason, ("",), frozenset(different))


def _same_but_repeats(units: Units, other: Units) -> bool:
    names = [[facts.name for facts in one.layout.groups] for one in (units, other)]
    if names[0] != names[1]:
        return False
    settled = other.with_sizes(units.sizes)
    return other.layout.tensors.keys() == units.layout.tensors.keys() and all(
        settled.shape(name) == units.shape(name) for name in units.layout.tensors
    )


def _named(units: Units, tensor: str) -> list[list[tuple[str, int]]]:
    groups = units.layout.groups
    return [
        [("" if block.group == FIXED else groups[block.group].name, block.repeat) for block in blocks]
        for blocks in units.layout.tensors.get(tensor, ())
    ]
