"""What a command tells, as a value; printed in one place, for people or for programs."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import typer

OK, WRONG, FAILED, NOTHING_FEASIBLE = 0, 2, 3, 4


@dataclass(frozen=True)
class Report:
    """What came out of a command.

    Attributes:
        facts: Plain values for `--json`.
        lines: The same for people.
        next: Commands worth typing next, the likeliest first.
        code: Exit code of the process.
    """

    facts: Mapping[str, Any]
    lines: tuple[str, ...]
    next: tuple[str, ...] = field(default=(), kw_only=True)
    code: int = field(default=OK, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, fit for JSON: how a command that ran elsewhere tells what came out."""
        return {"report": finite(self.facts), "lines": list(self.lines), "next": list(self.next), "code": self.code}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Report":
        """Rebuilds a report from `to_dict`."""
        return cls(values["report"], tuple(values["lines"]), next=tuple(values["next"]), code=values["code"])


class CommandError(Exception):
    """A command cannot do what was asked; says why, how to mend it, and with which code to leave."""

    def __init__(self, text: str, *, code: int = WRONG, next_commands: tuple[str, ...] = ()) -> None:
        """Keeps the words, the exit code and the commands to type next."""
        super().__init__(text)
        self.code = code
        self.next_commands = next_commands


class NoSuchStudy(CommandError):
    """There is no study of a name where it was looked for; who knows that one is about to be made says that instead."""


def neurosearch(*words: object) -> str:
    """Writes a command of ours as it is typed, quoted for the shell."""
    return shlex.join(("neurosearch", *(str(word) for word in words)))


def show(report: Report, *, as_json: bool, whole: bool = False) -> None:
    """Prints a report: JSON to the standard output, or lines; what is wrong to the standard error output.

    Args:
        report: What to print.
        as_json: Whether to print the facts as JSON.
        whole: Whether to print all of it as JSON.
    """
    if whole:
        typer.echo(json.dumps(report.to_dict()))
        return
    if as_json:
        typer.echo(json.dumps(finite({**report.facts, "next": list(report.next)})))
        return
    wrong = report.code not in (OK, NOTHING_FEASIBLE)
    for line in (*report.lines, *_next_lines(report.next)):
        typer.echo(line, err=wrong)


class NobodyListens(BrokenPipeError):
    """What a command says while it runs goes into a pipe that nobody reads now, as in `logs --follow | grep -m1 a`."""


def say(text: str, *, ends_line: bool = True) -> None:
    """Prints a line while a command runs; under `--json` it goes to the standard error output, as all but the facts.

    Args:
        text: What to say.
        ends_line: Whether the line ends with it.

    Raises:
        NobodyListens: Who listened has gone.
        OSError: It cannot be printed otherwise.
    """
    try:
        typer.echo(text, nl=ends_line)
    except BrokenPipeError as error:
        raise NobodyListens(error.errno, error.strerror) from error


def finite(value: Any) -> Any:
    """Returns plain values without infinities and NaN, which JSON has no word for: None in their place."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _next_lines(commands: tuple[str, ...]) -> Iterable[str]:
    if commands:
        yield f"next: {commands[0]}"
    yield from (f"  or: {command}" for command in commands[1:])
