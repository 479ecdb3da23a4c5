"""What `neurosearch init` must know: given by options, asked on a terminal, or left to a default."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import typer

from neurosearch.cli.report import CommandError
from neurosearch.config.base import ConfigError, nearest
from neurosearch.config.kinds import KindGroup, kinds
from neurosearch.config.starter import Starter, fields_to_ask
from neurosearch.config.study import SizeLimit, StudyFields
from neurosearch.config.yaml_source import parse_yaml

_T = TypeVar("_T")
_PLACES = ("path", "folder")
_LIMITS = tuple(SizeLimit.model_fields)


@dataclass(frozen=True)
class Given:
    """What options say; None where they say nothing.

    Attributes:
        name: Name of the study.
        data: Kind of data.
        path: Where the data lies.
        model: Kind of network.
        limit: Such as `parameters=20000`.
        epochs: Passes over the training part.
        trials: Trials to run.
        fields: Fields of data and model, such as `data.task=regression`.
    """

    name: str | None
    data: str | None
    path: str | None
    model: str | None
    limit: str | None
    epochs: int | None
    trials: int | None
    fields: tuple[str, ...]


class Ask(Protocol):
    """Finds out what no option says."""

    def __call__(self, question: str, default: str | None, accept: Callable[[str], _T], option: str) -> _T:
        """Returns an answer as `accept` reads it.

        Args:
            question: For people.
            default: The answer of those who have none; None where there is no such.
            accept: Reads an answer; raises `CommandError` where it will not do.
            option: The option that would have said it.
        """


class Asked:
    """Asks on the terminal until the answer will do; where there is none, takes the default."""

    def __init__(self, *, terminal: bool) -> None:
        """Takes whether somebody can answer."""
        self._terminal = terminal

    @classmethod
    def on_terminal(cls, *, quiet: bool) -> "Asked":
        """Returns one that asks if this process has a terminal and may use it."""
        return cls(terminal=not quiet and sys.stdin.isatty() and sys.stderr.isatty())

    def __call__(self, question: str, default: str | None, accept: Callable[[str], _T], option: str) -> _T:
        """Returns an answer; as `Ask` says."""
        if not self._terminal:
            if default is None:
                raise CommandError(f"{option} is needed: {question}.")
            return accept(default)
        while True:
            text = str(typer.prompt(question, default=default, err=True))
            try:
                return accept(text.strip())
            except CommandError as error:
                typer.echo(str(error), err=True)


def starter(given: Given, ask: Ask, schema: str) -> Starter:
    """Returns all answers.

    Args:
        given: What options say.
        ask: Finds out the rest.
        schema: Path of the schema for editors, relative to the config.

    Raises:
        CommandError: An option will not do, or one is needed.
    """
    fields = _fields(given)
    name = _known(given.name, ask, "Name of the study", "my-study", _name, "--name")
    data = _section("data", given.data, "digits", fields, ask, given.path)
    model = _section("models", given.model, "mlp", fields, ask)
    limit = _known(
        given.limit, ask, f"What can be deployed ({', '.join(_LIMITS)})", "parameters=20000", _limit, "--limit"
    )
    epochs = given.epochs or ask("Epochs of each trial", "20", _count, "--epochs")
    trials = given.trials or ask("Trials", "30", _count, "--trials")
    return Starter(name, data, model, limit, epochs, trials, schema)


def _known(given: str | None, ask: Ask, question: str, default: str, accept: Callable[[str], _T], option: str) -> _T:
    return accept(given) if given is not None else ask(question, default, accept, option)


def _section(
    group: KindGroup, given: str | None, default: str, fields: Mapping[str, Any], ask: Ask, path: str | None = None
) -> dict[str, Any]:
    """Returns a section: its kind, the fields that the kind must have, and those that options give."""
    section, names = {"data": "data", "models": "model"}[group], tuple(kinds(group))

    def accept(kind: str) -> str:
        return _one_of(kind, names, f"kind of {section}")

    kind = _known(given, ask, f"Kind of {section} ({', '.join(names)})", default, accept, f"--{section}")
    found: dict[str, Any] = {"kind": kind, **fields[section]}
    place = _place(group, kind)
    if path is not None and place is not None:
        found[place] = path
    elif path is not None:
        raise CommandError(f"data of kind {kind} lies nowhere, so --path says nothing. Take it out.")
    for name, description in fields_to_ask(group, kind).items():
        if name not in found:
            option = "--path" if section == "data" and name == place else f"--field {section}.{name}=..."
            found[name] = ask(f"{name}: {description}", None, _plain, option)
    return found


def _place(group: KindGroup, kind: str) -> str | None:
    """Returns the name of the field that says where data lies; None where nothing does."""
    fields = kinds(group)[kind].fields.model_fields
    return next((name for name in _PLACES if name in fields), None)


def _fields(given: Given) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"data": {}, "model": {}}
    for text in given.fields:
        key, equals, value = text.partition("=")
        section, _, name = key.strip().partition(".")
        if not equals or section not in found or not name.isidentifier() or name == "kind":
            raise CommandError(
                f"--field {text}: write data.NAME=VALUE or model.NAME=VALUE, or edit the file afterwards."
            )
        found[section][name] = _plain(value)
    return found


def _plain(text: str) -> Any:
    """Reads a value as a config would hold it."""
    if not text:
        raise CommandError("an answer is needed.")
    try:
        return parse_yaml(f"value: {text}", text).values["value"]
    except ConfigError as error:
        raise CommandError(f"{text!r} is no value: {error.problems[0].text}") from error


def _one_of(text: str, known: Iterable[str], what: str) -> str:
    names = tuple(known)
    if text not in names:
        raise CommandError(f"unknown {what} {text!r}.{nearest(text, names)} Choose one of {', '.join(names)}.")
    return text


def _name(text: str) -> str:
    try:
        return StudyFields(name=text).name
    except ValueError as error:
        raise CommandError(
            f"{text!r} is no name of a study: lower case letters, digits and dashes, at most 40."
        ) from error


def _limit(text: str) -> tuple[str, int]:
    metric, equals, number = (part.strip() for part in text.partition("="))
    if not equals:
        raise CommandError(f"{text!r} is no limit; write it as parameters=20000.")
    return _one_of(metric, _LIMITS, "limit"), _count(number.replace(",", "").replace("_", ""))


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise CommandError(f"{text!r} is no whole number of at least 1.")
    return int(text)
