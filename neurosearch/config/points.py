"""Points that the user lists to be tried first."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from neurosearch.config.base import Path, Problem, dotted
from neurosearch.config.positions import described, position_of
from neurosearch.config.problems import TrialProblems
from neurosearch.config.search_nodes import Node, Slot, Template, resolve, slots

#: Values by hyperparameter name.
ListedPoint = Mapping[str, Any]


class _Unlisted(Exception):  # no error: the point leaves a value to the sampler
    pass


def given(point: ListedPoint, template: Template) -> dict[str, Any]:
    """Returns a listed point with what it implies: a value inside an option asks for that option."""
    by_name = {slot.name: slot for slot in slots(template)}
    implied = {name: values[-1] for listed in point for name, values in by_name[listed].requires.items()}
    return {**implied, **point}


def point_problems(points: tuple[ListedPoint, ...], template: Template) -> Iterator[Problem]:
    """Yields what is wrong with listed points."""
    by_name = {slot.name: slot for slot in slots(template)}
    for index, point in enumerate(points):
        path: Path = ("search", "points", index)
        wrong = list(_wrong_values(point, path, by_name, template))
        yield from wrong or _broken_rules(point, path, template)


def _wrong_values(point: ListedPoint, path: Path, by_name: Mapping[str, Slot], template: Template) -> Iterator[Problem]:
    for name, value in point.items():
        text = _reason(name, value, point, by_name)
        if text is not None:
            yield Problem(template.source.place((*path, name)), f"{dotted(path)}.{name}", text)


def _reason(name: str, value: Any, point: ListedPoint, by_name: Mapping[str, Slot]) -> str | None:
    if name not in by_name:
        close = get_close_matches(name, list(by_name), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"is no hyperparameter of this space.{hint} Hyperparameters: {', '.join(by_name) or 'none'}."
    slot = by_name[name]
    if position_of(slot.node, value) is None:
        return f"is {value!r}, which its node does not draw. Write one of: {described(slot.node)}."
    for other, values in slot.requires.items():
        if other in point and point[other] not in values:
            return f"exists only where {other} is {values[-1]}, but this point has {other}: {point[other]}. Mend one."
    return None


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
