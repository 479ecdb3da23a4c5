from dataclasses import replace
from pathlib import Path

import pytest

from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE
from neurosearch.cli.studies import open_study
from neurosearch.cli.summary import search_report
from neurosearch.search.run import SearchResult
from neurosearch.search.stored import StoredStudy
from neurosearch.search.summaries import counts


def result_of(study: StoredStudy) -> SearchResult:
    return SearchResult(
        folder=study.folder,
        best=study.best(),
        control=None,
        counts=counts(study.trials()),
        stopped=False,
        halted=None,
        untold=0,
    )


@pytest.fixture
def study(finished: Path) -> StoredStudy:
    return open_study("tiny", finished)


def test_a_winner_is_exported_and_set_beside_its_control(study: StoredStudy) -> None:
    best = study.best()
    assert best is not None
    control = next(trial for trial in study.trials() if trial.state == "finished" and trial.number != best.number)
    report = search_report(study, replace(result_of(study), control=control), ("a remark",))
    assert report.code == 0
    assert report.lines[0].split() == ["winner", "control"]
    assert report.lines[1].split() == ["trial", str(best.number), str(control.number)]
    (exported,) = (line for line in report.lines if line.startswith("exported"))
    assert exported.startswith(f"exported trial {best.number} to {study.folder.export}")
    assert report.lines[-1] == "a remark"
    assert 0.0 < report.facts["winner"]["test"]["test/balanced_accuracy"] < 1.0
    assert report.facts["control"]["number"] == control.number
    assert (study.folder.export / "network.onnx").exists()
    assert report.facts["confusion"].keys() == {best.number, control.number}
    for paths in report.facts["confusion"].values():
        assert [Path(path).name for path in paths] == [
            "confusion.json",
            "confusion-validation.csv",
            "confusion-test.csv",
        ]
        assert all(Path(path).exists() for path in paths)
    assert report.next[1] == f"neurosearch predict {study.folder.export} INPUTS"


def test_a_control_that_wins_stands_beside_the_best_that_was_searched(study: StoredStudy) -> None:
    best = study.best()
    other = next(trial for trial in study.trials() if trial.state == "finished" and trial != best)
    control = replace(other, role="control")
    report = search_report(study, replace(result_of(study), best=control, control=control), ())
    assert report.lines[0].split() == ["winner", "best", "searched"]
    assert report.facts["winner"]["role"] == report.facts["control"]["role"] == "control"


def test_a_stopped_search_says_how_to_go_on(study: StoredStudy) -> None:
    report = search_report(study, replace(result_of(study), stopped=True), ())
    assert report.code == 0
    assert report.lines[0].startswith("stopped; running trials keep their checkpoints")
    assert report.next[0] == f"neurosearch resume tiny --folder {study.folder.root}"


def test_a_search_that_could_not_go_on_is_a_failure_of_the_system(study: StoredStudy) -> None:
    report = search_report(study, replace(result_of(study), stopped=True, halted="the disk is full."), ())
    assert report.code == FAILED
    assert report.lines[0] == "the disk is full."
    assert report.facts["halted"] == "the disk is full."
    assert report.next[0].startswith("neurosearch resume tiny")


def test_where_nothing_is_feasible_the_remedy_is_told(study: StoredStudy) -> None:
    report = search_report(study, replace(result_of(study), best=None), ())
    assert report.code == NOTHING_FEASIBLE
    assert report.lines[0] == (
        "nothing feasible was found: 1 trials ended beyond the size limit or a constraint, 0 were stopped early, "
        "0 failed. Loosen the bounds, or search smaller networks."
    )
    assert report.facts["exit_code"] == NOTHING_FEASIBLE
