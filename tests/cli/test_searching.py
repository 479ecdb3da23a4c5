"""A whole search on a terminal."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.stored import StoredStudy

pytestmark = [pytest.mark.ray, pytest.mark.slow]
_SECONDS = 240
SEARCH = ("-m", "neurosearch", "search")
TWO = {"model": "{kind: mlp, widths: {search: choice, options: [[8], [12]]}}"}
QUICK = ("--set", "search.trials=2", "--set", "search.finalists=0", "--set", "search.control=false")


def test_a_search_is_drawn_and_ends_with_its_report(
    open_terminal: Callable[..., Any], config: Callable[..., Path], tmp_path: Path
) -> None:
    terminal = open_terminal(*SEARCH, str(config(**TWO)), *QUICK)
    assert terminal.finish() == 0
    drawn, after = terminal.shown.split("\x1b[?1049l")
    for words in ("tiny", "starting", "searching", "0 of 2", "2 of 2", "ray.log, mlflow.log, output.log"):
        assert words in drawn, words
    assert "exported trial" in after
    assert "next: neurosearch ui tiny" in after
    assert "report: runs/tiny/report.html" in after
    assert (tmp_path / "runs/tiny/report.html").exists()
    assert (tmp_path / "runs/tiny/logs/mlflow.log").exists()


def test_a_search_whose_terminal_disappears_goes_on_to_its_end(
    open_terminal: Callable[..., Any], config: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("--set", "tracking.enabled=false", "--set", "training.epochs=30")
    terminal = open_terminal(*SEARCH, str(config(**TWO)), *QUICK, *words)
    terminal.read_until(lambda shown: "searching" in shown)
    terminal.close()
    assert terminal.process.wait(_SECONDS) == 0
    folder = StudyFolder(tmp_path / "runs", "tiny")
    assert [trial.state for trial in StoredStudy(folder).trials()] == ["finished", "finished"]
    log = (folder.logs / "output.log").read_text()
    assert "the terminal is gone and the search goes on: `neurosearch status tiny --watch` shows it." in log
    assert "exported trial" in log


def test_ctrl_c_on_the_screen_stops_cleanly(
    open_terminal: Callable[..., Any], config: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("--set", "tracking.enabled=false", "--set", "training.epochs=500")
    terminal = open_terminal(*SEARCH, str(config(**TWO)), *QUICK, *words)
    terminal.read_until(lambda _: any((tmp_path / "runs").glob("*/trials/*/*/checkpoint-*.pt")))
    time.sleep(1.0)
    terminal.press("\x03")
    assert terminal.finish() == 0
    assert "stopped; running trials keep their checkpoints" in terminal.shown.split("\x1b[?1049l")[1]
    assert StoredStudy(StudyFolder(tmp_path / "runs", "tiny")).trials()[0].state == "running"


def test_a_machine_on_which_ray_does_not_start_is_told_with_how_to_go_on(
    type_in: Callable[..., Any], config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_started(**_: object) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002  # as Ray does

    monkeypatch.setattr("ray.init", not_started)
    done = type_in("search", config(tracking="{enabled: false}").name, "--json")
    facts = json.loads(done.out.splitlines()[-1])
    assert (done.code, facts["exit_code"], facts["next"]) == (3, 3, ["neurosearch resume tiny"])
    assert facts["error"].startswith("Ray did not start on this machine: The current node timed out during startup. N")
