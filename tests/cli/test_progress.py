import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli import progress, searching
from neurosearch.cli.bars import Lines
from neurosearch.cli.options import Progress
from neurosearch.cli.progress import chosen, telling
from neurosearch.cli.report import CommandError, Report
from neurosearch.config.load import StudyConfig
from neurosearch.neurons.find import forget
from neurosearch.search.folders import StudyFolder
from neurosearch.search.seams import TrialInfo, TrialSummary
from neurosearch.search.stored import StoredStudy

Tiny = Callable[..., StudyConfig]


def tell(progress: Progress, study: StudyConfig, folder: StudyFolder, trial: TrialSummary) -> None:
    """Tells a search of one trial."""
    info = TrialInfo(trial.number, trial.role, trial.config, trial.params, trial.seeds, {}, None)
    record = {"epoch": 1, "metrics": {"balanced_accuracy": 0.5, "parameters": 600.0}}
    with telling(progress, study, folder, resume=False) as teller:
        teller.note("a remark")
        teller.on_trial_started(info)
        teller.on_records(trial.number, [record])
        teller.on_trial_finished(trial, trial)
        teller.on_stopping()


@pytest.fixture
def ended(finished: Path) -> TrialSummary:
    return StoredStudy(StudyFolder(finished, "tiny")).trials()[0]


def test_where_there_is_no_terminal_everything_is_a_line_of_json(
    tmp_path: Path, tiny: Tiny, ended: TrialSummary, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(Progress.AUTO, tiny(), StudyFolder(tmp_path, "tiny"), ended)
    events: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == [
        "study",
        "note",
        "trial_started",
        "epoch",
        "trial_ended",
        "stopping",
    ]
    assert events[0]["trials"] == 3
    assert events[3] == {"event": "epoch", "number": 0, "epoch": 1, "balanced_accuracy": 0.5, "parameters": 600.0}
    assert (events[4]["number"], events[4]["value"], events[4]["best"]) == (0, ended.value, 0)


def test_what_takes_long_before_a_search_is_a_line_of_json_as_well(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "Lines", lambda voice: Lines(voice, every_seconds=0.0))
    monkeypatch.setattr(searching, "run_study", lambda *_, **__: Report({}, ()))
    forget()  # another test may have traced this network
    searching.search_study(tiny(), resume=False, address=None, progress=Progress.JSON)
    said = capsys.readouterr()
    events = [json.loads(line) for line in (said.out + said.err).splitlines()]
    assert {event["event"] for event in events} == {"work"}


def test_lines_are_for_people(
    tmp_path: Path, tiny: Tiny, ended: TrialSummary, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(Progress.LINES, tiny(), StudyFolder(tmp_path, "tiny"), ended)
    study, note, trial = capsys.readouterr().out.splitlines()
    assert study == f"study tiny in {tmp_path}/tiny: 3 trials, 1 at a time; Ctrl-C stops it"
    assert note == "note: a remark"
    assert trial.startswith("trial   0  static  ")


def test_a_screen_needs_a_terminal(type_in: Callable[..., Any], config: Callable[..., Path]) -> None:
    with pytest.raises(CommandError, match="--progress screen needs a terminal"):
        chosen(Progress.SCREEN)
    done = type_in("search", config(), "--progress", "screen")
    assert (done.code, done.out) == (2, "")
    assert "take --progress lines or json" in done.err


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert chosen(Progress.AUTO) is Progress.LINES
    monkeypatch.setenv("TERM", "xterm")
    assert chosen(Progress.AUTO) is Progress.SCREEN


def test_when_nobody_reads_any_more_the_lines_go_to_the_log(tmp_path: Path) -> None:
    program = """
from pathlib import Path
from neurosearch.cli.progress import ProgressJson
from neurosearch.config.load import study_from_mapping
from neurosearch.search.folders import StudyFolder

study = study_from_mapping({"name": "tiny", "data": {"kind": "digits"}, "model": {"kind": "mlp", "widths": [8]},
    "training": {"epochs": 2}, "growth": {"kind": "static"}}, "tiny")
teller = ProgressJson(study, StudyFolder(Path("runs"), "tiny"))
input()
teller.note("first")
teller.note("second")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["event"] == "study"
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert (process.wait(60), process.stderr.read()) == (0, "")
    process.stderr.close()
    kept = (tmp_path / "runs/tiny/logs/output.log").read_text().splitlines()
    assert [json.loads(line)["text"] for line in kept] == ["first", "second"]
