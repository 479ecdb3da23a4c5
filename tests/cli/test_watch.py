import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.study import Study

TypeIn = Callable[..., Any]


def test_a_study_that_nobody_searches_is_told_once(type_in: TypeIn, finished: Path) -> None:
    done = type_in("status", "tiny", "--folder", finished, "--watch")
    assert (done.code, done.err) == (0, "")
    first, *report = done.out.splitlines()
    seen = json.loads(first)
    assert (seen["event"], seen["state"], seen["trials_used"]) == ("status", "complete", 3)
    assert report[0] == f"study tiny in {finished}/tiny: complete"


def test_programs_get_the_facts_alone(type_in: TypeIn, finished: Path) -> None:
    done = type_in("status", "tiny", "--folder", finished, "--watch", "--json")
    assert done.facts["counts"]["finished"] == 2
    assert json.loads(done.err)["event"] == "status"


@pytest.fixture
def searched(tmp_path: Path, start: Callable[..., Study]) -> Study:
    """A study that this process searches, with a trial that has begun."""
    study = start(tmp_path / "runs")
    assert study.ask() is not None
    return study


def test_it_is_drawn_until_the_search_ends(open_terminal: Callable[..., Any], searched: Study) -> None:
    terminal = open_terminal("-m", "neurosearch", "status", "tiny", "--watch")
    terminal.read_until(lambda shown: "static   0/2" in shown and "neurosearch stop tiny" in shown)
    searched.close()
    assert terminal.finish() == 0
    assert "study tiny in runs/tiny: stopped; it can go on" in terminal.shown.split("\x1b[?1049l")[1]


def test_ctrl_c_ends_the_watching_alone(open_terminal: Callable[..., Any], searched: Study) -> None:
    terminal = open_terminal("-m", "neurosearch", "status", "tiny", "--watch")
    terminal.read_until(lambda shown: "static   0/2" in shown)
    terminal.press("\x03")
    assert terminal.finish() == 0
    assert "study tiny in runs/tiny: searching" in terminal.shown.split("\x1b[?1049l")[1]
    assert searched.stored.stop_requested is None
    searched.close()
