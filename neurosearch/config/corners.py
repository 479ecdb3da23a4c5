"""The corners of a search space: every end of every range and every option, in every combination that is affordable."""

from collections.abc import Iterator, Mapping
from itertools import combinations, islice, product
from typing import Any

from neurosearch.config.search_nodes import Extremes, Node, OneOfNode, Resolved, Template, extremes, resolve

MAXIMUM_CORNERS = 4096  # about 0.3 s of validation; beyond it every pair of ends is checked instead of every corner


def corners(template: Template) -> Iterator[Resolved]:
    """Yields the template at the ends and options of its nodes.

    Every combination where there are at most `MAXIMUM_CORNERS`; else every pair of ends, which is enough for every rule
    over two searched fields.
    """
    every = list(extremes(template))
    chosen = list(islice(_all_assignments(every), MAXIMUM_CORNERS + 1))
    for assignment in chosen if len(chosen) <= MAXIMUM_CORNERS else _pair_assignments(every):
        yield resolve(template, lambda name, node, a=assignment: a[name] if name in a else _first(node))  # type: ignore[misc]


def _first(node: Node) -> Any:
    return node.labels[0] if isinstance(node, OneOfNode) else node.ends[0]


def _all_assignments(every: list[Extremes]) -> Iterator[dict[str, Any]]:
    pending: list[tuple[dict[str, Any], int]] = [({}, 0)]  # a stack and no recursion: a space may have many nodes
    while pending:
        assignment, index = pending.pop()
        if index == len(every):
            yield assignment
        elif not every[index].exists(assignment):
            pending.append((assignment, index + 1))
        else:
            pending += [({**assignment, **each}, index + 1) for each in reversed(every[index].choices)]


def _pair_assignments(every: list[Extremes]) -> Iterator[dict[str, Any]]:
    yield {}
    for each in every:
        for choice in each.choices:
            yield {**_needed(each), **choice}
    for first, second in combinations(every, 2):
        needed = {**_needed(first), **_needed(second)}
        if first.exists(needed) and second.exists(needed):
            for left, right in islice(product(first.choices, second.choices), MAXIMUM_CORNERS):
                yield {**needed, **left, **right}


def _needed(each: Extremes) -> Mapping[str, Any]:
    """Returns what must be chosen for a node to be reached."""
    return {name: values[-1] for name, values in each.requires.items()}
