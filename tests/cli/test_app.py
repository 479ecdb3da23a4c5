import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch import __version__

COMMANDS = (
    "init",
    "doctor",
    "logs",
    "front",
    "best",
    "schema",
    "check",
    "plan",
    "search",
    "status",
    "stop",
    "resume",
    "export",
    "predict",
    "sync",
    "ui",
)
QUICKSTART = Path(__file__).parents[2] / "tune_configs" / "quickstart.yaml"


def imported_by(*words: str) -> set[str]:
    """Returns the packages that a command imports in a process of its own."""
    code = (
        "import sys\n"
        "from neurosearch.cli.app import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as done:\n    assert done.code == 0, done.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_names_every_command_and_the_exit_codes(type_in: Callable[..., Any]) -> None:
    done = type_in("--help")
    assert done.code == 0
    assert all(command in done.out for command in COMMANDS)
    assert "Exit codes: 0 ok, 2 the config or the command is wrong, 3 the system failed" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_prints_json_where_asked(type_in: Callable[..., Any], command: str) -> None:
    done = type_in(command, "--help")
    assert done.code == 0
    assert "--json" in done.out
    assert "--debug" in done.out


def test_the_version_is_told(type_in: Callable[..., Any]) -> None:
    assert type_in("--version").out == f"neurosearch {__version__}\n"


def test_a_wrong_command_is_a_users_mistake(type_in: Callable[..., Any]) -> None:
    assert type_in("chek").code == 2
    assert type_in("check").code == 2
    assert type_in("check", "a.yaml", "--nonsense").code == 2


@pytest.mark.parametrize(
    ("words", "told", "then"),
    [
        (("check",), "Missing argument 'CONFIG'.", "neurosearch check --help"),
        (("check", "a.yaml", "--nonsense"), "No such option: --nonsense", "neurosearch check --help"),
        (("best", "a", "--top", "two"), "Invalid value for '--top': ", "neurosearch best --help"),
        (("chek",), "No such command 'chek'. Did you mean 'check'", "neurosearch --help"),
        (("--nonsense", "check", "a.yaml"), "No such option: --nonsense", "neurosearch --help"),
    ],
)
def test_a_wrong_command_is_json_where_asked(
    type_in: Callable[..., Any], words: tuple[str, ...], told: str, then: str
) -> None:
    done = type_in(*words, "--json")
    assert (done.code, done.facts["exit_code"], done.facts["next"]) == (2, 2, [then])
    assert told in done.facts["error"]
    assert not done.facts["ok"]
    assert (type_in(*words).code, type_in(*words).out) == (2, "")


def test_json_before_the_command_is_refused_as_json(type_in: Callable[..., Any]) -> None:
    done = type_in("--json", "check", "a.yaml")
    assert (done.code, "No such option: --json" in done.facts["error"]) == (2, True)


def test_help_imports_nothing_heavy() -> None:
    assert imported_by("--help").isdisjoint({"pydantic", "torch", "numpy", "ray", "mlflow", "optuna", "sklearn"})


def test_the_static_check_imports_no_framework() -> None:
    found = imported_by("check", str(QUICKSTART))
    assert "pydantic" in found
    assert found.isdisjoint({"torch", "numpy", "ray", "mlflow", "optuna", "sklearn", "onnxruntime"})
