import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from neurosearch.cli.frame import INTERRUPTED, command, failure
from neurosearch.cli.report import FAILED, WRONG, CommandError, Report
from neurosearch.config.base import ConfigError, Problem
from neurosearch.config.kinds import KindError
from neurosearch.data.problems import DataError
from neurosearch.data.problems import Problem as DataProblem
from neurosearch.export.card import read_card
from neurosearch.neurons.errors import SurgeryError
from neurosearch.search.errors import StudyError


def raised(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # it is what is asked for
        return error
    raise AssertionError("nothing was raised")


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (CommandError("no such trial.", code=4), 4, "error: no such trial."),
        (KeyboardInterrupt(), INTERRUPTED, "error: interrupted."),
        (OSError(errno.ENOSPC, "No space left on device", "x.pt"), FAILED, "error: the disk is full (x.pt). Nothing"),
        (
            OSError(errno.EACCES, "Permission denied"),
            FAILED,
            "error: PermissionError: [Errno 13] Permission denied. Run",
        ),
        (
            OSError(errno.EACCES, "Permission denied", "runs/a"),
            FAILED,
            "error: runs/a cannot be used: Permission denied. Mend its rights, or name another place.",
        ),
        (KindError("a package is broken."), FAILED, "error: a package is broken."),
        (RuntimeError("boom."), FAILED, "error: RuntimeError: boom. Run the command again with --debug"),
    ],
)
def test_an_error_becomes_words_and_a_code(error: BaseException, code: int, told: str) -> None:
    report = failure(raised(raising(error)), "check", {})
    assert report.code == code
    assert report.lines[0].startswith(told)
    assert report.facts["exit_code"] == code


def test_a_value_error_of_a_library_is_a_failure_of_the_system() -> None:
    report = failure(raised(lambda: math.sqrt(-1)), "check", {})
    assert report.code == FAILED
    assert "ValueError: " in report.lines[0]


def test_a_value_error_of_ours_is_a_users_mistake() -> None:
    report = failure(raised(lambda: read_card('{"format_version": 99}')), "predict", {})
    assert report.code == WRONG
    assert report.lines[0].startswith("error: ")
    assert "99" in report.lines[0]


@pytest.mark.parametrize("error", [StudyError("a"), SurgeryError("a"), DataError([DataProblem("data.path", "a")])])
def test_our_own_errors_are_value_errors(error: Exception) -> None:
    assert isinstance(error, ValueError)


def test_a_config_error_lists_its_problems_and_what_to_type() -> None:
    problems = (Problem("a.yaml:3", "seed", "is wrong."), Problem("a.yaml", "", "is odd."))
    report = failure(ConfigError(problems), "check", {"config": "a.yaml", "overrides": ["x=1"], "data": False})
    assert report.lines == (
        "a.yaml:3: seed: is wrong.",
        "a.yaml: is odd.",
        "2 problems found; nothing was started. Mend and check again.",
    )
    assert report.next == ("neurosearch check a.yaml --set x=1",)
    assert report.facts["problems"][0] == {"where": "a.yaml:3", "field": "seed", "text": "is wrong."}
    assert report.code == WRONG


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"address": "http://h:8265"}, "--address http://h:8265"),
        ({"address": None, "kubernetes": True, "namespace": "neurosearch"}, "--kubernetes"),
        ({"address": None, "kubernetes": True, "namespace": "mine"}, "--kubernetes --namespace mine"),
    ],
)
def test_a_config_that_was_submitted_is_submitted_again_where_it_was(arguments: dict[str, Any], where: str) -> None:
    error = ConfigError((Problem("a.yaml:3", "seed", "is wrong."),))
    report = failure(error, "submit", {"config": "a.yaml", "overrides": ["x=1"], **arguments})
    assert report.next == (f"neurosearch submit a.yaml {where} --set x=1",)
    named = failure(RuntimeError("a"), "status", {"name": "a", "folder": Path("runs"), **arguments})
    assert named.next == (f"neurosearch status a {where}",)


def test_the_command_to_type_next_repeats_no_password_of_an_address() -> None:
    config = {"config": "a.yaml", "address": "http://ann:ti/ger@h:8265"}
    error = ConfigError((Problem("a.yaml:3", "seed", "is wrong."),))
    assert failure(error, "submit", config).next == ("neurosearch submit a.yaml --address http://h:8265",)
    study = {"name": "a", "folder": Path("runs"), "address": "https://ann:tiger@h"}
    assert failure(CommandError("a"), "status", study).next == ("neurosearch status a --address https://h",)


@pytest.mark.parametrize(
    ("error", "arguments", "command"),
    [
        (CommandError("a", next_commands=("do this",)), {}, "do this"),
        (CommandError("a"), {}, "neurosearch export --help"),
        (RuntimeError("a"), {"config": "a.yaml", "overrides": None}, "neurosearch check a.yaml --data"),
        (RuntimeError("a"), {"config": "a.yaml", "overrides": ["x=1"]}, "neurosearch check a.yaml --set x=1 --data"),
        (KeyboardInterrupt(), {"name": "a", "folder": Path("runs")}, "neurosearch status a"),
        (CommandError("a"), {"name": "a", "folder": Path("x")}, "neurosearch status a --folder x"),
        (RuntimeError("a"), {}, "neurosearch --help"),
        (RuntimeError("a"), {"config": None}, "neurosearch --help"),  # an option that was not given
        (KeyboardInterrupt(), {"config": None}, "neurosearch --help"),
    ],
)
def test_after_every_error_there_is_something_to_type(
    error: BaseException, arguments: dict[str, Any], command: str
) -> None:
    assert failure(error, "export", arguments).next == (command,)


def app_of(function: Callable[..., Report]) -> typer.Typer:
    app = typer.Typer()
    app.command()(command(function))
    return app


def noisy(number: int = 3) -> Report:
    """Say something."""
    print("a third party prints")  # noqa: T201
    return Report({"number": number}, (f"number {number}",))


def failing() -> Report:
    """Fail."""
    raise RuntimeError("boom")


def test_json_keeps_the_standard_output_pure() -> None:
    done = CliRunner().invoke(app_of(noisy), ["--number", "5", "--json"])
    assert json.loads(done.stdout) == {"number": 5, "next": []}
    assert done.stderr == "a third party prints\n"


def test_without_json_everything_is_printed() -> None:
    assert CliRunner().invoke(app_of(noisy), []).stdout == "a third party prints\nnumber 3\n"


def test_a_traceback_is_shown_with_debug_only() -> None:
    plain, debugged = (CliRunner().invoke(app_of(failing), words) for words in ([], ["--debug"]))
    assert plain.exit_code == debugged.exit_code == FAILED
    assert "Traceback" not in plain.output
    assert "Traceback" in debugged.output
    assert "--debug" not in debugged.output


def test_an_error_is_json_where_json_was_asked_for() -> None:
    done = CliRunner().invoke(app_of(failing), ["--json"])
    assert done.exit_code == FAILED
    facts: dict[str, Any] = json.loads(done.stdout)
    assert (facts["ok"], facts["exit_code"]) == (False, FAILED)
    assert facts["error"].startswith("RuntimeError: boom.")


def test_the_signature_that_typer_reads_has_both_options() -> None:
    help_text = CliRunner().invoke(app_of(noisy), ["--help"]).stdout
    assert all(option in help_text for option in ("--number", "--json", "--debug", "Say something."))


def placed(folder: Path) -> Report:
    """Say where."""
    return Report({"folder": str(folder)}, ())


def test_a_home_that_the_shell_left_in_a_path_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/homes/someone")
    done = CliRunner().invoke(app_of(placed), ["--json", "--", "~/runs"])
    assert json.loads(done.stdout)["folder"] == "/homes/someone/runs"
    unknown = CliRunner().invoke(app_of(placed), ["--json", "--", "~no-such-user/runs"])
    assert (unknown.exit_code, "home directory" in json.loads(unknown.stdout)["error"]) == (FAILED, True)
