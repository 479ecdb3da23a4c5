"""From a YAML file to a validated study: every problem at once, each with its line and its remedy."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from neurosearch.config.base import ConfigError, Path, Problem, dotted
from neurosearch.config.corners import corners
from neurosearch.config.files import outside, root_problems, with_files
from neurosearch.config.overrides import with_overrides
from neurosearch.config.packing import packing_problems
from neurosearch.config.points import point_problems
from neurosearch.config.problems import TrialProblems, limit_problems, metric_problems, study_problems
from neurosearch.config.s3 import is_on_s3
from neurosearch.config.samplers import sampler_problems
from neurosearch.config.search_nodes import SEARCHED_SECTIONS, Choose, Template, make_template, resolve
from neurosearch.config.study import StudyFields
from neurosearch.config.trial import TrialConfig
from neurosearch.config.weights import SUFFIXES, pinned
from neurosearch.config.yaml_source import Source, parse_yaml, read_yaml

_LISTS = frozenset({"train_list", "test_list"})
#: Folders of studies, which start from the working directory.
_FOLDERS: tuple[Path, ...] = (("storage", "folder"), ("search", "warm_start", "folder"))


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

    def judged_by(self) -> dict[str, Any]:
        """Returns, beside the space, what makes two searches comparable, as plain values.

        Budgets, concurrency, storage and tracking may change between a search and its resumption. What is a candidate
        may not: of trials before, epochs were not kept, or would be for ever. A deterministic one depends on more.
        """
        search = {"objectives", "constraints", "candidates", "seeds", "deterministic"}
        if self.study.search.deterministic:
            search |= {"concurrency", "sampler", "points", "warm_start", "stopping"}
        return self.study.model_dump(mode="json", include={"seed": True, "size_limit": True, "search": search})

    def fingerprint(self) -> str:
        """Returns a hash of what makes two searches comparable: the space, and what its trials are judged by."""
        kept = {name: self.template.source.values.get(name) for name in SEARCHED_SECTIONS}
        return hashlib.sha256(json.dumps({**kept, **self.judged_by()}, sort_keys=True).encode()).hexdigest()


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


def load_study_for_elsewhere(
    path: str | FilePath, overrides: tuple[str, ...], moved: Callable[[str, Path], str]
) -> StudyConfig:
    """Reads and validates a study that will be searched on other machines, where files may have other names.

    Args:
        path: The YAML file.
        overrides: As `load_study` takes them.
        moved: Returns what a file is called there, given its text and its path in the config; a `ValueError` says why
            it cannot be used.

    Raises:
        ConfigError: With everything that is wrong, in the order of the file.
    """
    source = with_overrides(read_yaml(path), overrides)
    problems: list[Problem] = []

    def named(file: str, place: Path) -> str:
        try:
            return moved(file, place)
        except ValueError as error:
            problems.append(Problem(source.place(place), dotted(place), str(error)))
            return file

    values = with_files(_with_list_addresses(source.values), named)
    return _validated(Source(values, source.places, source.name, (*source.problems, *problems)))


def study_from_text(text: str, path: str | FilePath) -> StudyConfig:
    """Validates the text of a file that is yet to be written to `path`.

    Raises:
        ConfigError: With everything that is wrong.
    """
    return _validated(_with_absolute_paths(parse_yaml(text, str(path)), FilePath(path).resolve().parent))


def study_from_mapping(values: dict[str, Any], name: str) -> StudyConfig:
    """Validates plain values again, as they come from a study's storage; `name` stands for the file in problems."""
    return _validated(Source(values, {}, name))


def _validated(source: Source) -> StudyConfig:
    template, node_problems = make_template(source)
    found = {*source.problems, *root_problems(source), *node_problems}
    study: StudyFields | None = None
    try:
        study = StudyFields.model_validate(_not_searched(source))
    except ValidationError as error:
        found |= {each for each in study_problems(error, source) if not _is_told(each, source.problems)}
    if study is not None:
        found |= set(limit_problems(study, source))
    if study is not None and not node_problems:
        found |= {*sampler_problems(study.search, template), *point_problems(study.search.points, template)}
        found |= set(metric_problems(study.search, template))
    trial_problems = TrialProblems(template, frozenset() if study is None else study.search.metrics)
    for corner in corners(template):
        found |= {
            each
            for each in trial_problems.of(corner)
            if not _follows(each, node_problems) and not _is_told(each, source.problems)
        }
    if study is not None and not found:
        found |= set(packing_problems(study.search, template))
    if found:
        raise ConfigError(tuple(sorted(found, key=_in_file_order)))
    assert study is not None
    return StudyConfig(study, template)


def _not_searched(source: Source) -> dict[str, Any]:
    return {name: value for name, value in source.values.items() if name not in SEARCHED_SECTIONS}


def _follows(problem: Problem, node_problems: tuple[Problem, ...]) -> bool:
    """Tells whether a trial's problem only follows from a wrong node, whose place holds no value."""
    return any(_is_inside(problem.field, node.field) or _is_inside(node.field, problem.field) for node in node_problems)


def _is_inside(field: str, outer: str) -> bool:
    return field == outer or field.startswith((f"{outer}.", f"{outer}["))


def _is_told(problem: Problem, told: tuple[Problem, ...]) -> bool:
    """Tells whether the text at a problem's line is wrong itself, so that its value could not be read."""
    return any(problem.where == each.where for each in told)


def _in_file_order(problem: Problem) -> tuple[str, int, str]:
    name, _, line = problem.where.rpartition(":")
    return (name, int(line), problem.field) if line.isdigit() else (problem.where, 0, problem.field)


def _with_list_addresses(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "data": _with_addresses(values["data"])} if "data" in values else values


def _with_addresses(value: Any) -> Any:
    """Gives lists beside a path on S3 their addresses below it; one that begins with /, ~, $ or . is on the disk."""
    if isinstance(value, list):
        return [_with_addresses(item) for item in value]
    if not isinstance(value, dict):
        return value
    section = {key: _with_addresses(item) for key, item in value.items()}
    root = section.get("path")
    if not isinstance(root, str) or not is_on_s3(root):
        return section
    far = {key: item for key, item in section.items() if key in _LISTS and isinstance(item, str)}
    joined = {key: f"{root.rstrip('/')}/{item}" for key, item in far.items() if re.match(r"[^/~$.]", item)}
    return {**section, **{key: item for key, item in joined.items() if "://" not in far[key]}}


def _with_absolute_paths(source: Source, folder: FilePath) -> Source:
    """Makes every path of data, weights and certificates absolute, so that a study resumes from any working directory.

    Weights get the hash of their content beside: a study depends on what the file holds, not on its name. Folders of
    studies are expanded alone.
    """
    problems: list[Problem] = []

    def expanded(value: str, path: Path) -> str:
        found = os.path.expandvars(value)
        problems.extend(
            Problem(source.place(path), dotted(path), f"the environment variable {name} is not set. Set it.")
            for name in re.findall(r"\$\{?(\w+)", found)
        )
        return os.path.expanduser(found)  # noqa: PTH111  # of another's home that is not there it makes no error

    def absolute(value: str, path: Path) -> str:
        file = str(folder / expanded(value, path))
        if path[0] != "model" or not file.endswith(SUFFIXES) or outside(file) is not None:
            return file
        try:
            return pinned(file)
        except OSError as error:
            text = f"{file} cannot be read: {error.strerror}. Give the path of a file with weights."
            problems.append(Problem(source.place(path), dotted(path), text))
            return file

    values = with_files(_with_list_addresses(source.values), absolute)
    for path in _FOLDERS:
        values = _with(values, path, partial(expanded, path=path))
    return Source(values, source.places, source.name, (*source.problems, *problems))


def _with(values: Any, path: Path, of: Callable[[str], str]) -> Any:
    """Returns values in which `of` has replaced the text at a path, if there is one."""
    if not path:
        return of(values) if isinstance(values, str) else values
    if not isinstance(values, dict) or path[0] not in values:
        return values
    return {**values, path[0]: _with(values[path[0]], path[1:], of)}
