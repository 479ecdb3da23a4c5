import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("digits", "deep", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "study.journal").touch()
    (tmp_path / "runs" / "mlartifacts").mkdir()
    (tmp_path / "elsewhere" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere" / "mine" / "config.yaml").touch()
    return tmp_path


def completed(folder: Path, *words: str) -> list[str]:
    """Returns what bash is offered for the last word, which may be empty."""
    asked = {"_NEUROSEARCH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("neurosearch", *words))}
    code = (
        "import sys\nfrom neurosearch.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    assert {'optuna', 'torch', 'ray', 'mlflow', 'numpy'}.isdisjoint(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **asked, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_names_of_studies_are_completed_and_nothing_heavy_is_imported(folder: Path) -> None:
    assert completed(folder, "status", "") == ["deep", "digits", "other"]
    assert completed(folder, "export", "di") == ["digits"]
    assert completed(folder, "ui", "o") == ["other"]


def test_the_folder_that_was_typed_before_counts(folder: Path) -> None:
    assert completed(folder, "resume", "--folder", "elsewhere", "") == ["mine"]
    assert completed(folder, "resume", "--folder", "nowhere", "") == []


def test_commands_are_completed(folder: Path) -> None:
    assert {"search", "schema", "status", "stop", "submit", "sync"} == set(completed(folder, "s"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_can_be_printed(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neurosearch", "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_NEUROSEARCH_COMPLETE" in done.stdout
