"""The corners of a search space: every end of every range and every option, in every combination that is affordable."""

import math
from collections.abc import Iterator
from itertools import combinations, islice, product
from typing import Any

from neurosearch.config.base import Fields
from neurosearch.config.search_nodes import Node, OneOfNode, Resolved, Slot, Template, resolve, slots

MAXIMUM_CORNERS = 4096  # about 0.3 s of validation; beyond it every pair of ends is checked instead of every corner


def corners(template: Template) -> Iterator[Resolved]:
    """Yields the template at the ends and options of its nodes.

    Every combination where there are at most `MAXIMUM_CORNERS`; else every pair of ends, which is enough for every rule
    over two searched fields.
    """
    every = list(slots(template))
    if _count(template.sections) <= MAXIMUM_CORNERS:
        chosen = _all_assignments(every)
    else:
        chosen = _pair_assignments(every)
    for assignment in chosen:
        yield resolve(template, lambda name, node, a=assignment: a[name] if name in a else _ends(node)[0])  # type: ignore[misc]


def _ends(node: Node) -> tuple[Any, ...]:
    return node.labels if isinstance(node, OneOfNode) else node.ends


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return math.prod(_count(item) for item in value.values())
    if isinstance(value, list):
        return math.prod(_count(item) for item in value)
    if isinstance(value, OneOfNode):
        return sum(_count(option) for option in value.options)
    return len(_ends(value)) if isinstance(value, Fields) else 1  # type: ignore[arg-type]  # a template's Fields are nodes


def _all_assignments(every: list[Slot]) -> Iterator[dict[str, Any]]:
    def extend(assignment: dict[str, Any], rest: list[Slot]) -> Iterator[dict[str, Any]]:
        if not rest:
            yield assignment
            return
        slot, *later = rest
        if not slot.exists(assignment):
            yield from extend(assignment, later)
            return
        for end in _ends(slot.node):
            yield from extend({**assignment, slot.name: end}, later)

    return extend({}, every)


def _pair_assignments(every: list[Slot]) -> Iterator[dict[str, Any]]:
    yield {}
    for slot in every:
        for end in _ends(slot.node):
            yield {**_needed(slot), slot.name: end}
    for first, second in combinations(every, 2):
        needed = {**_needed(first), **_needed(second)}
        if first.exists(needed) and second.exists(needed):
            for left, right in islice(product(_ends(first.node), _ends(second.node)), MAXIMUM_CORNERS):
                yield {**needed, first.name: left, second.name: right}


def _needed(slot: Slot) -> dict[str, Any]:
    """Returns what must be chosen for a hyperparameter to exist; of several values the last one."""
    return {name: values[-1] for name, values in slot.requires.items()}
