from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurosearch.search.study import Study

TypeIn = Callable[..., Any]


def test_a_process_that_searches_is_asked_to_stop(type_in: TypeIn, start: Callable[..., Study], tmp_path: Path) -> None:
    study = start(tmp_path / "runs")
    assert not study.stored.stop_requested
    done = type_in("stop", "tiny")
    assert done.code == 0
    assert done.out.startswith("asked process ")
    assert done.out.splitlines()[1:] == ["next: neurosearch status tiny", "  or: neurosearch resume tiny"]
    assert study.stored.stop_requested
    study.close()


def test_where_nothing_runs_nothing_is_stopped(type_in: TypeIn, finished: Path) -> None:
    done = type_in("stop", "tiny", "--folder", finished, "--json")
    assert (done.code, done.facts["stop_requested"]) == (0, False)
    assert "there is nothing to stop" in type_in("stop", "tiny", "--folder", finished).out


def test_a_study_that_is_not_there_cannot_be_stopped(type_in: TypeIn) -> None:
    assert type_in("stop", "tiny").code == 2
