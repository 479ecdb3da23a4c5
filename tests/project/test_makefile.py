import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*words):
    return subprocess.run(["make", *words], cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("target", ["setup", "core-setup", "manifests-setup"])
def test_an_old_python_is_refused_with_a_remedy(tmp_path, target):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n', "utf-8")
    old.chmod(0o755)
    made = make(
        target, f"PYTHON={old}", f"VENV={tmp_path}/venv", f"CORE_VENV={tmp_path}/core", f"MANIFESTS_VENV={tmp_path}/m"
    )
    assert made.returncode != 0
    assert f"needs Python 3.11 or newer, but {old} is: Python 3.9.2. Name another: make PYTHON=" in made.stderr
    assert not list(tmp_path.glob("*/pyvenv.cfg"))


def test_what_is_made_already_is_not_made_again(tmp_path):
    for stamp in ("venv/installed.constraints", "venv/installed.package", "core/installed.constraints"):
        (tmp_path / stamp).parent.mkdir(exist_ok=True)
        (tmp_path / stamp).touch()
    made = make("--question", "setup", "core-setup", f"VENV={tmp_path}/venv", f"CORE_VENV={tmp_path}/core")
    assert made.returncode == 0


def test_the_reference_is_written_from_a_schema_that_is_written_anew():
    lines = make("--dry-run", "reference").stdout.splitlines()
    schema, pages = (
        next(i for i, line in enumerate(lines) if word in line) for word in ("schema --out", "reference.py")
    )
    assert schema < pages


def test_help_is_what_make_alone_says_and_names_every_target_of_the_readme():
    made = make()
    assert made.returncode == 0
    listed = {line.split()[0] for line in made.stdout.splitlines()}
    assert {
        "quickstart",
        "test",
        "core",
        "check",
        "format",
        "constraints",
        "clean",
        "help",
        "check-manifests",
    } <= listed
