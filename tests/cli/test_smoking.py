"""`search --smoke` as a user runs it: a whole process with a local Ray cluster; and what it says when a step breaks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli import smoking
from neurosearch.cli.report import FAILED

STEPS = ["trial", "data", "growth", "checkpoint", "resume", "tracking", "export"]


@pytest.mark.ray
@pytest.mark.slow
def test_every_step_is_named_and_nothing_stays(config: Callable[..., Path], tmp_path: Path) -> None:
    path = config(growth="{kind: periodic, period_epochs: 3, grown_epochs: 1}", training="{epochs: 50}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "neurosearch", "search", path.name, "--smoke", "--json"],
        cwd=tmp_path,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(scratch),
            "RAY_TMPDIR": "/tmp",
        },  # its sockets need a short path
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    assert [(step["name"], step["ok"]) for step in facts["steps"]] == [(name, True) for name in STEPS]
    assert not list(scratch.glob("neurosearch-smoke-*"))
    assert not (tmp_path / "runs").exists()


def test_a_step_that_breaks_is_told_with_what_broke_and_where_the_rest_lies(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    absent = tiny(data={"kind": "npz", "path": str(tmp_path / "absent.npz")})
    report = smoking.smoke_report(absent, ())
    assert report.code == FAILED
    assert [(step["name"], step["ok"]) for step in report.facts["steps"]] == [("trial", True), ("data", False)]
    assert "absent.npz" in report.facts["steps"][1]["text"]
    assert Path(report.facts["folder"]).parent == tmp_path
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("ok     trial")
    assert second.startswith("broke  data")


def test_a_training_that_fails_breaks_the_growth_step(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report = smoking.smoke_report(tiny(training={"epochs": 4, "learning_rate": 1e30, "optimizer": "sgd"}), ())
    assert report.code == FAILED
    assert report.facts["steps"][-1]["name"] == "growth"
    assert "the trial ended before its last epoch" in report.facts["error"]
