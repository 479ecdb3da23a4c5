"""Points that the user lists to be tried first."""

from collections.abc import Iterator, Mapping
from typing import Any

from neurosearch.config.base import Path, Problem, dotted, nearest
from neurosearch.config.nodes import CompositeNode
from neurosearch.config.positions import described, position_of
from neurosearch.config.problems import TrialProblems
from neurosearch.config.search_nodes import Node, Slot, Template, composites, resolve, slots

#: Values by hyperparameter name.
ListedPoint = Mapping[str, Any]


class _Unlisted(Exception):  # no error: the point leaves a value to the sampler
    pass


def given(point: ListedPoint, template: Template) -> dict[str, Any]:
    """Returns the hyperparameters of a listed point, with what they imply: one inside an option asks for that option.

    A value that several hyperparameters make, such as a list of widths, may be listed as a whole.
    """
    by_name, whole = {slot.name: slot for slot in slots(template)}, composites(template)
    values: dict[str, Any] = {}
    for name, value in point.items():
        values.update(_parts(name, value, whole[name]) or {} if name in whole else {name: value})
    implied = {name: each[-1] for listed in values for name, each in by_name[listed].requires.items()}
    return {**implied, **values}


def point_problems(points: tuple[ListedPoint, ...], template: Template) -> Iterator[Problem]:
    """Yields what is wrong with listed points."""
    for index, point in enumerate(points):
        path: Path = ("search", "points", index)
        wrong = list(_wrong_values(point, path, template))
        yield from wrong or _broken_rules(point, path, template)


def _wrong_values(point: ListedPoint, path: Path, template: Template) -> Iterator[Problem]:
    by_name, whole = {slot.name: slot for slot in slots(template)}, composites(template)
    for name, value in point.items():
        if name in whole:
            text = _reason_against_whole(name, value, whole[name], by_name)
        else:
            text = _reason(name, value, point, by_name, (*by_name, *whole))
        if text is not None:
            yield Problem(template.source.place((*path, name)), f"{dotted(path)}.{name}", text)


def _reason(
    name: str, value: Any, point: ListedPoint, by_name: Mapping[str, Slot], known: tuple[str, ...]
) -> str | None:
    if name not in by_name:
        return (
            f"is no hyperparameter of this space.{nearest(name, known)} Hyperparameters: {', '.join(known) or 'none'}."
        )
    slot = by_name[name]
    if position_of(slot.node, value) is None:
        return f"is {value!r}, which its node does not draw. Write one of: {described(slot.node)}."
    for other, values in slot.requires.items():
        if other in point and point[other] not in values:
            return f"exists only where {other} is {values[-1]}, but this point has {other}: {point[other]}. Mend one."
    return None


def _reason_against_whole(name: str, value: Any, node: CompositeNode, by_name: Mapping[str, Slot]) -> str | None:
    parts = _parts(name, value, node)
    outside = [leaf for leaf, each in (parts or {}).items() if position_of(by_name[leaf].node, each) is None]
    if parts is None or outside:
        where = f" (see {outside[0]}: {described(by_name[outside[0]].node)})" if outside else ""
        return f"is {value!r}, which its node does not draw{where}. Write another value, or leave it to the sampler."
    return None


def _parts(name: str, value: Any, node: CompositeNode) -> dict[str, Any] | None:
    chosen = node.chosen(value)
    return None if chosen is None else {f"{name}.{leaf}": each for leaf, each in chosen.items()}


def _broken_rules(point: ListedPoint, path: Path, template: Template) -> Iterator[Problem]:
    """Checks a point that leaves nothing to the sampler; another one is completed so that it breaks no rule."""
    values = given(point, template)

    def choose(name: str, _node: Node) -> Any:
        if name not in values:
            raise _Unlisted
        return values[name]

    try:
        resolved = resolve(template, choose)
    except _Unlisted:
        return
    for problem in TrialProblems(template).of(resolved):
        yield Problem(template.source.place(path), dotted(path), f"{problem.field}: {problem.text}")
