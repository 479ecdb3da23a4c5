"""The frame around every command: `--json`, `--debug`, and errors told in words with an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from neurosearch.cli.bars import showing_work
from neurosearch.cli.options import NAMESPACE, RUNS
from neurosearch.cli.report import FAILED, WRONG, CommandError, NobodyListens, NoSuchStudy, Report, neurosearch, show
from neurosearch.cli.terminal import GONE, print_into

INTERRUPTED = 130  # what shells use for Ctrl-C
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)

Json = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON object, and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Whole = Annotated[bool, typer.Option("--whole-report", help="For a command that asks this one from afar.", hidden=True)]


def command(function: Callable[..., Report]) -> Callable[..., None]:
    """Makes a command of a function that returns a report: adds `--json` and `--debug`, prints, sets the exit code."""

    @wraps(function)
    def run(*, as_json: bool, debug: bool, whole: bool, **arguments: Any) -> None:
        try:
            facts_only = as_json or whole  # whatever our rooms and third parties print is no fact
            with showing_work(), redirect_stdout(sys.stderr) if facts_only else nullcontext():
                report = function(**{name: _expanded(value) for name, value in arguments.items()})
        except (typer.Exit, typer.Abort, NobodyListens):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last frame: all that escapes is told
            if debug:
                traceback.print_exc()
            report = failure(error, function.__name__, arguments, debug=debug)
        try:
            show(report, as_json=as_json, whole=whole)
        except OSError as error:
            if error.errno in GONE:  # who listened has heard enough
                raise
            print_into(Path(os.devnull), sys.stdout.fileno())  # else what it did not take would fail again at the end
            report = failure(error, function.__name__, arguments, debug=debug)
            show(report, as_json=False)
        raise typer.Exit(report.code)

    own = signature(function)
    added = [
        Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=Json),
        Parameter("debug", Parameter.KEYWORD_ONLY, default=False, annotation=Debug),
        Parameter("whole", Parameter.KEYWORD_ONLY, default=False, annotation=Whole),
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**function.__annotations__, "as_json": Json, "debug": Debug, "whole": Whole}
    return run


def failure(error: BaseException, name: str, arguments: dict[str, Any], *, debug: bool = False) -> Report:
    """Tells an error in words.

    A `ValueError` that our own code raised is a mistake of the user, who is told how to mend it; anything else is a
    failure of the system, and so is a server that is away, whoever raised the error.

    Args:
        error: What ended the command.
        name: The command's name.
        arguments: The command's arguments, from which the command to type next is made where the error names none.
        debug: Whether the traceback has been shown.
    """
    from neurosearch.cli.outage import is_outage
    from neurosearch.config.base import ConfigError
    from neurosearch.config.kinds import KindError

    match error:
        case ConfigError():
            return _config_report(error, name, arguments)
        case CommandError():
            text, code, next_commands = str(error), error.code, error.next_commands
        case KeyboardInterrupt():
            text, code, next_commands = "interrupted.", INTERRUPTED, ()
        case OSError() if error.errno in _FULL_DISK:
            place = f" ({error.filename})" if error.filename else ""
            text, code, next_commands = f"the disk is full{place}. Nothing is lost: make room, then go on.", FAILED, ()
        case OSError() if error.errno in _NO_RIGHTS and error.filename:
            text = f"{error.filename} cannot be used: {error.strerror}. Mend its rights, or name another place."
            code, next_commands = FAILED, ()
        case KindError():
            text, code, next_commands = str(error), FAILED, ()
        case ValueError() if _is_ours(error):
            text, code, next_commands = str(error), WRONG, ()
        case _:
            hint = "" if debug else " Run the command again with --debug to see where it came from."
            text, code, next_commands = f"{type(error).__name__}: {str(error).rstrip('.')}.{hint}", FAILED, ()
    if code == WRONG and is_outage(error):
        code = FAILED
    next_commands = next_commands or _worth_typing(name, arguments, code)
    facts = {"ok": False, "error": text, "exit_code": code}
    if isinstance(error, NoSuchStudy):
        facts["no_study"] = True
    return Report(facts, (f"error: {text}",), next=next_commands, code=code)


def _config_report(error: Any, name: str, arguments: dict[str, Any]) -> Report:
    from neurosearch.cli.outage import ServersAway

    problems = [{"where": each.where, "field": each.field, "text": each.text} for each in error.problems]
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    is_away = isinstance(error, ServersAway)
    remedy = "Start again when the server answers" if is_away else "Mend and check again"
    lines = (*(str(each) for each in error.problems), f"{count} found; nothing was started. {remedy}.")
    code = FAILED if is_away else WRONG
    overrides = _set_words(arguments)
    data = ["--data"] if arguments.get("data", True) else []
    again = _worth_typing(name, arguments, WRONG)
    if name == "submit":
        again = (neurosearch(name, arguments["config"], *_where(name, arguments), *overrides),)
    elif arguments.get("config"):
        again = (neurosearch("check", arguments["config"], *overrides, *data),)
    return Report({"ok": False, "problems": problems, "exit_code": code}, lines, next=again, code=code)


def _worth_typing(name: str, arguments: dict[str, Any], code: int) -> tuple[str, ...]:
    """Returns what sheds light on an error: how the study or the config stands, or how the command is typed."""
    from neurosearch.config.database import without_password

    database = ("--database", without_password(arguments["database"])) if arguments.get("database") else ()
    if arguments.get("name") and "folder" in arguments:
        folder = arguments["folder"]
        there = () if folder == RUNS else ("--folder", folder)
        return (neurosearch("status", arguments["name"], *_where(name, arguments), *there, *database),)
    if code == WRONG:
        return (neurosearch(name, "--help"),)
    if not arguments.get("config"):
        return (neurosearch("--help"),)
    return (neurosearch("check", arguments["config"], *_set_words(arguments), "--data"),)


def _set_words(arguments: dict[str, Any]) -> list[str]:
    from neurosearch.config.database import without_password

    return [word for text in arguments.get("overrides") or () for word in ("--set", without_password(text))]


def _where(name: str, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Returns the options that say on which cluster a command is to be run; none for this machine."""
    if arguments.get("kubernetes"):
        namespace = arguments.get("namespace", NAMESPACE)
        return ("--kubernetes", *(() if namespace == NAMESPACE else ("--namespace", namespace)))
    from neurosearch.config.database import without_login

    address = without_login(arguments.get("address") or "")
    is_job_server = name == "submit" or "://" in address  # any other is joined as a driver, and not asked
    return ("--address", address) if address and is_job_server else ()


def _expanded(value: Any) -> Any:
    """Returns a path with its ~ replaced, which shells leave as it is in such as --folder=~/runs."""
    return value.expanduser() if isinstance(value, Path) else value


def _is_ours(error: BaseException) -> bool:
    """Tells whether our own code raised an error, and not a library that we called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__", "")).startswith("neurosearch.")
