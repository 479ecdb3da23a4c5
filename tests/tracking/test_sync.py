from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurosearch.names import EPOCH_SECONDS, STEPS
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import StoreError, choose_store, connect
from neurosearch.tracking.sync import SyncReport, sync
from neurosearch.tracking.values import TrialEnd, TrialHistory

STUDY = StudyInfo("digits", {"name": "digits"}, 3, "accuracy", None)
START = 1_700_000_000_000


def record(epoch: int) -> dict[str, Any]:
    metrics = {"accuracy": epoch / 10, EPOCH_SECONDS: 2.0}
    return {"epoch": epoch, "step": 5 * epoch, "metrics": metrics, "events": [], "at_rest": True}


def history(
    number: int, epochs: int = 3, run_id: str | None = None, outcome: TrialOutcome | None = None
) -> TrialHistory:
    trial = TrialInfo(number, "search", {"growth": {"kind": "nimble"}}, {"training.epochs": 3}, (3,), {}, run_id)
    end = outcome and TrialEnd(outcome, outcome.state == "finished", START + 10_000)
    return TrialHistory(trial, START, [record(epoch) for epoch in range(1, epochs + 1)], end)


def finished() -> TrialOutcome:
    return TrialOutcome("finished", None, {"accuracy": 0.3}, 3, 10.0, ())


def write(store, trials, running: bool = False, study: StudyInfo = STUDY) -> SyncReport:
    return sync(store, "experiment", Path(store.folder), study, trials, running)


def runs(store) -> dict[str, Any]:
    client = connect(store)
    found = client.search_runs([client.get_experiment_by_name("experiment").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name.partition(",")[0]: run for run in found}


def test_a_study_that_mlflow_never_saw_is_written_whole(embedded):
    trials = [history(0, outcome=finished()), history(1, outcome=TrialOutcome.failed("the loss is not finite", 3))]
    report = write(embedded, trials)
    found = runs(embedded)
    assert {name: run.info.status for name, run in found.items()} == {
        "digits": "FINISHED",
        "00000 nimble": "FINISHED",
        "00001 nimble": "FAILED",
    }
    assert report.run_ids == {0: found["00000 nimble"].info.run_id, 1: found["00001 nimble"].info.run_id}
    assert report.study_run_id == found["digits"].info.run_id
    assert (report.runs, report.files) == (3, 3)
    assert found["00001 nimble"].data.tags["neurosearch.reason"] == "the loss is not finite"


def test_epochs_are_dated_by_the_time_they_took(embedded):
    write(embedded, [history(0, outcome=finished())])
    client, run = connect(embedded), runs(embedded)["00000 nimble"]
    assert (run.info.start_time, run.info.end_time) == (START, START + 10_000)
    dated = [(metric.step, metric.timestamp) for metric in client.get_metric_history(run.info.run_id, STEPS)]
    assert dated == [(1, START + 2_000), (2, START + 4_000), (3, START + 6_000)]


def test_a_second_time_writes_nothing(embedded):
    trials = [history(0, outcome=finished()), history(1, epochs=1)]
    first = write(embedded, trials)
    known = [replace(each, trial=replace(each.trial, run_id=first.run_ids[each.trial.number])) for each in trials]
    with_ids = write(embedded, known, study=replace(STUDY, run_id=first.study_run_id))
    assert (with_ids.written, with_ids.run_ids) == (0, first.run_ids)
    without_ids = write(embedded, trials)
    assert (without_ids.written, without_ids.run_ids) == (0, first.run_ids)


def test_only_what_a_tracker_missed_is_added(embedded):
    tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01)
    tracker.start_study(STUDY)
    tracker.start_trial(history(0).trial)
    tracker.log(0, [record(1), record(3)])
    assert tracker.close(120) == 0
    assert runs(embedded)["00000 nimble"].info.status == "KILLED"

    report = write(embedded, [history(0, outcome=finished())])
    assert (report.runs, report.files, report.statuses) == (0, 0, 2)
    assert report.entries == len(record(2)["metrics"]) + len([STEPS]) + len(["final/accuracy", "feasible", "name"])
    client, run = connect(embedded), runs(embedded)["00000 nimble"]
    assert sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "accuracy")) == [1, 2, 3]


def test_while_a_search_runs_nothing_is_ended(embedded):
    write(embedded, [history(0, outcome=finished()), history(1)], running=True)
    statuses = {name: run.info.status for name, run in runs(embedded).items()}
    assert statuses == {"digits": "RUNNING", "00000 nimble": "FINISHED", "00001 nimble": "RUNNING"}
    write(embedded, [history(0, outcome=finished()), history(1)])
    statuses = {name: run.info.status for name, run in runs(embedded).items()}
    assert statuses == {"digits": "KILLED", "00000 nimble": "FINISHED", "00001 nimble": "KILLED"}


def test_a_database_that_was_lost_is_built_again(embedded, tmp_path):
    trials = [history(0, run_id="0" * 32, outcome=finished())]
    report = write(embedded, trials, study=replace(STUDY, run_id="1" * 32))
    assert report.runs == 2
    assert len(runs(embedded)) == 2


def test_a_run_that_was_deleted_stays_so_and_is_named_with_the_remedy(embedded):
    first = write(embedded, [history(0, outcome=finished()), history(1, outcome=finished())])
    connect(embedded).delete_run(first.run_ids[0])
    trials = [history(number, run_id=first.run_ids[number], outcome=finished()) for number in range(2)]
    report = write(embedded, trials)
    assert report.written == 0
    assert [*report.refused] == [0]
    assert f"mlflow runs restore --run-id {first.run_ids[0]}" in report.refused[0]


def test_a_thousand_classes_fit(embedded):
    metrics = {f"recall/{number}": 0.5 for number in range(1000)}
    big = TrialHistory(
        history(0).trial, START, [{**record(1), "metrics": metrics}, {**record(2), "metrics": metrics}], None
    )
    assert write(embedded, [big]).entries == 2 * 1001 + 1
    assert write(embedded, [big]).written == 0


def test_a_server_that_is_down_is_named_with_the_remedy(tmp_path):
    with pytest.raises(StoreError, match=r"//\*\*\*@127.0.0.1:9 cannot be written to: .*then sync again") as caught:
        write(choose_store(tmp_path, "http://ann:secret@127.0.0.1:9"), [history(0)])
    assert "secret" not in str(caught.value)
