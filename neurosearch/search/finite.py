"""Spaces with finitely many points: how many there are, and each by its index."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from neurosearch.config.search_nodes import Slot, Template, slots
from neurosearch.search.space import distribution_of, value_of


@dataclass(frozen=True)
class _Case:
    """One way to choose the hyperparameters that others depend on.

    Attributes:
        positions: Theirs.
        free: The distributions of the others that then exist.
    """

    positions: dict[str, Any]
    free: dict[str, BaseDistribution]

    @cached_property
    def size(self) -> int:
        return math.prod(_size(each) or 0 for each in self.free.values())

    def point(self, index: int) -> Iterator[tuple[str, Any]]:
        yield from self.positions.items()
        for name, distribution in self.free.items():
            index, place = divmod(index, _size(distribution) or 1)
            yield name, _position(distribution, place)


class FiniteSpace:
    """All points of a space.

    Attributes:
        size: How many there are.
    """

    def __init__(self, template: Template) -> None:
        """Counts the points; hyperparameters that do not depend on each other are counted apart."""
        every = list(slots(template))
        controlling = {name for slot in every for name in slot.requires}
        self._parts = [list(_cases(part, controlling)) for part in _parts(every)]
        self._sizes = [sum(case.size for case in part) for part in self._parts]
        self.size = math.prod(self._sizes)

    def point(self, index: int) -> dict[str, Any]:
        """Returns the point of an index below `size`, as positions by hyperparameter name."""
        found: dict[str, Any] = {}
        for part, size in zip(self._parts, self._sizes, strict=True):
            index, place = divmod(index, size)
            for case in part:
                if place < case.size:
                    found.update(case.point(place))
                    break
                place -= case.size
        return found


def finite_space(template: Template) -> FiniteSpace | None:
    """Returns the points of a space; None when a range is continuous."""
    is_finite = all(_size(distribution_of(slot.node)) is not None for slot in slots(template))
    return FiniteSpace(template) if is_finite else None


def _parts(every: list[Slot]) -> list[list[Slot]]:
    """Groups hyperparameters that depend on each other, in the order of the file."""
    parts: list[list[Slot]] = []
    for slot in every:
        related = [part for part in parts if any(each.name in slot.requires for each in part)]
        parts = [part for part in parts if part not in related]
        parts.append([*(each for part in related for each in part), slot])
    return parts


def _cases(part: list[Slot], controlling: set[str]) -> Iterator[_Case]:
    def extend(positions: dict[str, Any], values: dict[str, Any], rest: list[Slot]) -> Iterator[_Case]:
        if not rest:
            existing = [slot for slot in part if slot.name not in controlling and slot.exists(values)]
            yield _Case(positions, {slot.name: distribution_of(slot.node) for slot in existing})
            return
        slot, *later = rest
        if not slot.exists(values):
            yield from extend(positions, values, later)
            return
        distribution = distribution_of(slot.node)
        for place in range(_size(distribution) or 0):
            position = _position(distribution, place)
            value = value_of(slot.node, position)
            yield from extend({**positions, slot.name: position}, {**values, slot.name: value}, later)

    return extend({}, {}, [slot for slot in part if slot.name in controlling])


def _size(distribution: BaseDistribution) -> int | None:
    match distribution:
        case IntDistribution(low=low, high=high, step=step):
            return int((high - low) // step + 1)
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case _:
            assert isinstance(distribution, FloatDistribution)
            return None


def _position(distribution: BaseDistribution, place: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[place]
    assert isinstance(distribution, IntDistribution)
    return distribution.low + place * distribution.step
