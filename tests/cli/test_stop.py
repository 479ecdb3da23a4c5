from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurosearch.cli.stop import stop_report
from neurosearch.search.lock import this_process
from neurosearch.search.study import Study
from tests.readers import as_reader, readable_folder

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


def test_who_may_not_write_a_study_is_told_who_can_stop_it(start: Callable[..., Study]) -> None:
    with readable_folder() as root:
        study = start(root)
        told = as_reader(root, lambda: stop_report(study.stored, at_once=False).lines)
        assert told == (
            f"CommandError: tiny is being searched by {this_process()}, and {study.stored.folder.journal} may not be "
            "written by this user. Let the user who searches it stop it."
        )
        study.close()
