"""From a YAML file to a validated study: every problem at once, each with its line and its remedy."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from neurosearch.config.base import ConfigError, Path, Problem, dotted
from neurosearch.config.messages import message
from neurosearch.config.search_nodes import (
    SEARCHED_SECTIONS,
    Choose,
    Resolved,
    Template,
    corners,
    make_template,
    resolve,
)
from neurosearch.config.study import StudyFields
from neurosearch.config.trial import ConflictError, TrialConfig
from neurosearch.config.yaml_source import Source, read_yaml, with_overrides


@dataclass(frozen=True)
class StudyConfig:
    """A validated study: its own fields, and the template of its trials.

    Attributes:
        study: Everything that is not searched.
        template: The searched sections with their nodes.
    """

    study: StudyFields
    template: Template

    def trial(self, choose: Choose) -> TrialConfig:
        """Returns the validated trial that `choose` picks from the template.

        Raises:
            ValueError: If the chosen values break a rule (the loader has checked ends and options only).
        """
        return TrialConfig.model_validate({**resolve(self.template, choose).sections, "seed": self.study.seed})

    def to_mapping(self) -> dict[str, Any]:
        """Returns the study as plain values: what `study_from_mapping` takes and what is stored beside the trials."""
        return self.template.source.values

    def fingerprint(self) -> str:
        """Returns a hash of what makes two searches comparable: space, seed, objectives and size limit.

        Budgets, concurrency, storage and tracking may change between a search and its resumption.
        """
        kept = {name: self.template.source.values.get(name) for name in SEARCHED_SECTIONS}
        kept["study"] = self.study.model_dump(mode="json", include={"seed": True, "size_limit": True})
        kept["objectives"] = [objective.model_dump(mode="json") for objective in self.study.search.objectives]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def load_study(path: str | FilePath, overrides: tuple[str, ...] = ()) -> StudyConfig:
    """Reads and validates a study, every end and option of every search node included.

    Args:
        path: The YAML file.
        overrides: `section.field=value` texts that replace what the file says.

    Raises:
        ConfigError: With everything that is wrong, in the order of the file.
    """
    source = with_overrides(read_yaml(path), overrides)
    return _validated(_with_absolute_paths(source, FilePath(path).resolve().parent))


def study_from_mapping(values: dict[str, Any], name: str) -> StudyConfig:
    """Validates plain values again, as they come from a study's storage; `name` stands for the file in problems."""
    return _validated(Source(values, {}, name))


def _validated(source: Source) -> StudyConfig:
    template, problems = make_template(source)
    found = list(problems)
    study, study_problems = _validated_study(source)
    found += study_problems
    wrong_nodes = {problem.field for problem in problems}
    found += [each for each in _trial_problems(template) if not _is_inside(each.field, wrong_nodes)]
    if found:
        raise ConfigError(tuple(sorted(set(found), key=_in_file_order)))
    assert study is not None
    return StudyConfig(study, template)


def _validated_study(source: Source) -> tuple[StudyFields | None, list[Problem]]:
    values = {name: value for name, value in source.values.items() if name not in SEARCHED_SECTIONS}
    try:
        return StudyFields.model_validate(values), []
    except ValidationError as error:
        return None, list(_problems(error, source, {}, StudyFields))


def _trial_problems(template: Template) -> Iterator[Problem]:
    """Validates the template at its corners; the same problem at many corners is one problem."""
    seen: set[tuple[str, str]] = set()
    for corner in corners(template):
        for problem in _corner_problems(corner, template.source):
            if (problem.where, problem.field) not in seen:
                seen.add((problem.where, problem.field))
                yield problem


def _corner_problems(corner: Resolved, source: Source) -> Iterable[Problem]:
    try:
        TrialConfig.model_validate({**corner.sections, "seed": 0})
    except ValidationError as error:
        return list(_problems(error, source, corner.origins, TrialConfig))
    return ()


def _problems(
    error: ValidationError, source: Source, origins: Mapping[Path, Path], root: type[StudyFields] | type[TrialConfig]
) -> Iterator[Problem]:
    for each in error.errors():
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, ConflictError):
            for conflict in cause.conflicts:
                first, *others = [_origin(tuple(field.split(".")), origins) for field in conflict.fields]
                names = " and ".join(dotted(path) for path in (first, *others))
                yield Problem(source.place(first), names, conflict.text)
            continue
        path = _without_tag(each["loc"], root)
        origin = _origin(path, origins)
        yield Problem(source.place(origin), dotted(origin), message(each, path, root))


def _without_tag(loc: Path, root: type[StudyFields] | type[TrialConfig]) -> Path:
    """Drops the kind's name that pydantic puts into the path of a union's field."""
    has_tag = root is TrialConfig and len(loc) > 1 and loc[0] in ("data", "model", "growth")
    return (loc[0], *loc[2:]) if has_tag else loc


def _origin(path: Path, origins: Mapping[Path, Path]) -> Path:
    """Returns where in the file a path of the resolved trial comes from."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return (*origins[path[:length]], *path[length:])
    return path


def _is_inside(field: str, wrong: set[str]) -> bool:
    return any(node.startswith(field) or field.startswith(node) for node in wrong)


def _in_file_order(problem: Problem) -> tuple[str, int, str]:
    name, _, line = problem.where.rpartition(":")
    return (name, int(line), problem.field) if line.isdigit() else (problem.where, 0, problem.field)


def _with_absolute_paths(source: Source, folder: FilePath) -> Source:
    """Makes the paths of the data section absolute, so that a study resumes from any working directory."""
    data = source.values.get("data")
    if not isinstance(data, dict):
        return source
    return Source({**source.values, "data": _absolute(data, folder)}, source.places, source.name)


def _absolute(value: Any, folder: FilePath, is_path: bool = False) -> Any:
    if isinstance(value, dict):
        return {key: _absolute(item, folder, is_path or key == "path") for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder, is_path) for item in value]
    if is_path and isinstance(value, str) and value and "://" not in value and value != "choice":
        return str(folder / os.path.expanduser(os.path.expandvars(value)))
    return value
