"""`--set section.field=value`: replaces what the file says, and says so in every problem that follows."""

import re
from typing import Any

from neurosearch.config.base import ConfigError, Path, Problem
from neurosearch.config.database import without_password
from neurosearch.config.yaml_source import Source, parse_yaml

_PART = re.compile(r"(?P<name>[^.\[\]]+)(?P<indices>(?:\[\d+\])*)")


def with_overrides(source: Source, overrides: tuple[str, ...]) -> Source:
    """Applies overrides such as `training.epochs=5` or `growth.options[1].start=shared_copy`; values are read as YAML.

    Raises:
        ConfigError: With every override that has no `=` or no readable value, or goes through what is no section.
    """
    places = dict(source.places)
    values = _copied(source.values)
    problems: list[Problem] = []
    for text in overrides:
        try:
            _override(values, places, text)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return Source(values, places, source.name, source.problems)


def _override(values: dict[str, Any], places: dict[Path, str], text: str) -> None:
    key, equals, value_text = text.partition("=")
    where = f"--set {without_password(text)}"
    path = _path(key.strip())
    if not equals or not path:
        raise ConfigError((Problem(where, "", "write it as section.field=value, such as training.epochs=5."),))
    value = _value(value_text, where)
    target: Any = values
    for depth, part in enumerate(path[:-1], start=1):
        if isinstance(part, str) and isinstance(target, dict):
            places.setdefault(path[:depth], where)
            target = target.setdefault(part, {})
        else:
            target = _item(target, part, where, key)
    if not isinstance(target, dict) or not isinstance(path[-1], str):
        _item(target, path[-1], where, key)  # it must be there to be replaced
    target[path[-1]] = value
    for old in [old for old in places if old[: len(path)] == path]:
        del places[old]
    places[path] = where


def _value(text: str, where: str) -> Any:
    try:
        parsed = parse_yaml(f"value: {text}", where)
    except ConfigError as error:  # the one line of an option needs no number
        raise ConfigError(tuple(Problem(where, "", each.text) for each in error.problems)) from error
    if parsed.problems:
        raise ConfigError(parsed.problems)
    return parsed.values["value"]


def _path(key: str) -> Path:
    """Splits `growth.options[1].start` into its parts; nothing where it is written otherwise."""
    path: list[str | int] = []
    for part in key.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            return ()
        path += [match["name"], *(int(index) for index in re.findall(r"\d+", match["indices"]))]
    return tuple(path)


def _item(target: Any, part: str | int, where: str, key: str) -> Any:
    if isinstance(part, int) and isinstance(target, list) and part < len(target):
        return target[part]
    if isinstance(part, int):
        text = f"there is no item [{part}] to replace; check the dotted name."
    else:
        text = f"{part!r} would stand inside a value that is not a section; check the dotted name."
    raise ConfigError((Problem(where, key, text),))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value
