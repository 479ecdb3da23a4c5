"""From a pydantic error to problems with file, line and field, as the user wrote them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from neurosearch.config.base import Path, Problem, dotted, undotted
from neurosearch.config.data import DataFields, TaskKind
from neurosearch.config.kinds import Conflict, ConflictError, kinds
from neurosearch.config.messages import is_follower, message
from neurosearch.config.search import SearchFields
from neurosearch.config.search_nodes import Resolved, Template
from neurosearch.config.study import StudyFields
from neurosearch.config.trial import TrialConfig
from neurosearch.config.unions import without_tag
from neurosearch.config.yaml_source import Source
from neurosearch.names import LATENCY_SECONDS, TASK_OBJECTIVES

_OTHER_TYPE = ("_type", "union_tag_not_found")  # how the types of pydantic's errors about types end


def study_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    """Yields what is wrong with the fields that are not searched."""
    for each in _independent(error):
        path = each["loc"]
        yield Problem(source.place(path), dotted(path), message(each, path, StudyFields))


def metric_problems(search: SearchFields, template: Template) -> Iterator[Problem]:
    """Yields that trials are judged by a metric that they do not measure."""
    training = template.sections.get("training")
    measures = isinstance(training, dict) and training.get("measure_latency") is True
    if LATENCY_SECONDS in search.metrics and not measures:
        path = ("training", "measure_latency")
        text = f"{LATENCY_SECONDS} is measured only where this is true, and trials are judged by it. Write it."
        yield Problem(template.source.place(path), dotted(path), text)


def limit_problems(study: StudyFields, source: Source) -> Iterator[Problem]:
    """Yields that a constraint asks for larger networks than the size limit allows."""
    limit = study.size_limit
    for index, constraint in enumerate(study.search.constraints if limit is not None else ()):
        assert limit is not None
        if constraint.metric == limit.metric and (constraint.at_least or 0.0) > limit.maximum:
            path = ("search", "constraints", index)
            text = (
                f"asks for at least {constraint.at_least:g} {limit.metric}, and size_limit allows at most "
                f"{limit.maximum}, so no network meets both. Lower at_least, or raise the limit."
            )
            yield Problem(source.place(path), dotted(path), text)


class TrialProblems:
    """Checks resolved templates and tells each problem once, though it may show at many corners."""

    def __init__(self, template: Template, metrics: frozenset[str] = frozenset()) -> None:
        """Keeps what all corners share: the template, what trials are judged by, and what has been told."""
        self._source = template.source
        self._metrics = metrics
        self._told: set[Path | tuple[Path, ...]] = set()

    def of(self, corner: Resolved) -> Iterator[Problem]:
        """Yields what is wrong with a corner and has not been told yet."""
        yield from self._unmeasured(corner)
        values = {**corner.sections, "seed": 0}
        try:
            TrialConfig.model_validate(values)
        except ValidationError as error:
            wrong = [each for each in _independent(error) if _conflicts(each) is None]
            for each in wrong:
                yield from self._field(each, corner)
            yield from self._between_fields(error if not wrong else _error_without(values, wrong), wrong, corner)

    def _unmeasured(self, corner: Resolved) -> Iterator[Problem]:
        """Yields that trials are judged by metrics that their task does not have."""
        task = _task_of(corner.sections.get("data"))
        if task is None:
            return
        others = {name for each, known in TASK_OBJECTIVES.items() if each != task for name in known}
        foreign = sorted(self._metrics & others)
        origins = (("search", "objectives"), _origin(("data", "task"), corner.origins))
        if foreign and origins not in self._told:
            self._told.add(origins)
            text = (
                f"trials are judged by {', '.join(foreign)}, but the task is {task}, which is judged by "
                f"{', '.join(TASK_OBJECTIVES[task])} or validation_loss. Name one of these."
            )
            yield Problem(self._source.place(origins[0]), " and ".join(map(dotted, origins)), text)

    def _field(self, error: ErrorDetails, corner: Resolved) -> Iterator[Problem]:
        path = without_tag(error["loc"])
        misplaced = _misplaced(error, path, corner)
        if misplaced is not None:
            yield from self._once(misplaced[0], misplaced[1])
            return
        in_section = (*path, "kind") in corner.origins  # or the kind alone stands there, as a short form
        named = (*path, "kind") if error["type"] == "union_tag_invalid" and in_section else path
        # A range of numbers where a list must stand is one mistake, and not one at each end.
        is_range = error["type"].endswith("_type") and corner.ends.get(path, ())[-1:] in (("low",), ("high",))
        origin = _origin(named, corner.origins if is_range else {**corner.origins, **corner.ends})
        yield from self._once(origin, message(error, path, TrialConfig))

    def _once(self, origin: Path, text: str) -> Iterator[Problem]:
        if origin not in self._told:
            self._told.add(origin)
            yield Problem(self._source.place(origin), dotted(origin), text)

    def _between_fields(
        self, error: ValidationError | None, wrong: list[ErrorDetails], corner: Resolved
    ) -> Iterator[Problem]:
        taken_out = {dotted(without_tag(each["loc"])) for each in wrong}
        for each in error.errors() if error is not None else ():
            for conflict in _conflicts(each) or ():
                origins = tuple(_origin(undotted(field), corner.origins) for field in conflict.fields)
                if origins not in self._told and taken_out.isdisjoint(conflict.fields):
                    self._told.add(origins)
                    names = " and ".join(dotted(origin) for origin in origins)
                    yield Problem(self._source.place(origins[0]), names, conflict.text)


def _task_of(data: Any) -> TaskKind | None:
    """Returns what a data section's targets are, whatever else is wrong with the trial; None if it is wrong itself."""
    kind = kinds("data").get(str(data.get("kind"))) if isinstance(data, dict) else None
    try:
        fields = None if kind is None else kind.fields.model_validate(data)
    except ValidationError:
        return None
    return fields.task_kind if isinstance(fields, DataFields) else None


def problem_of(field: str, text: str, corner: Resolved, template: Template) -> Problem:
    """Gives a problem that a room below found in a resolved trial its place in the file.

    Args:
        field: Dotted path in the trial, such as `data.path`.
        text: What is wrong and how to mend it.
        corner: The resolved template that the room was given.
        template: Where it comes from.
    """
    origin = _origin(undotted(field), {**corner.origins, **corner.ends})
    return Problem(template.source.place(origin), dotted(origin), text)


def _misplaced(error: ErrorDetails, path: Path, corner: Resolved) -> tuple[Path, str] | None:
    """Tells of a composite node whose whole value, or every item of it, is of another type than the field's."""
    outer = path if path in corner.composites else path[:-1]
    if outer not in corner.composites or not error["type"].endswith(_OTHER_TYPE):
        return None
    node, origin = corner.composites[outer], corner.origins[outer]
    return (*origin, "search"), f"search: {node.search} gives {node.gives}; it cannot stand here."


def _independent(error: ValidationError) -> list[ErrorDetails]:
    return [each for each in error.errors() if not is_follower(each)]


def _conflicts(error: ErrorDetails) -> tuple[Conflict, ...] | None:
    cause = error.get("ctx", {}).get("error")
    return cause.conflicts if isinstance(cause, ConflictError) else None


def _error_without(values: Mapping[str, Any], wrong: list[ErrorDetails]) -> ValidationError | None:
    """Validates again without the wrong values, for rules between the others: all problems are told at once."""
    kept = dict(values)
    for error in wrong:
        kept = _without(kept, without_tag(error["loc"]))
    try:
        TrialConfig.model_validate(kept)
    except ValidationError as error:
        return error
    return None


def _without(values: Any, path: Path) -> Any:
    if not isinstance(values, dict) or not path:
        return values
    name, *below = path
    if not below or not isinstance(values.get(str(name)), dict):
        return {key: value for key, value in values.items() if key != name}
    return {**values, name: _without(values[str(name)], tuple(below))}


def _origin(path: Path, origins: Mapping[Path, Path]) -> Path:
    """Returns where in the file a path of the resolved trial comes from."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return (*origins[path[:length]], *path[length:])
    return path
