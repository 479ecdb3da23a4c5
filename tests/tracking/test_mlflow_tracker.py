import json
import logging
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import Store, choose_store, connect

STUDY = StudyInfo("digits", {"name": "digits"}, 3, "accuracy", None)
FINISHED = TrialOutcome("finished", None, {"accuracy": 0.3}, 3, 10.0, ())


def trial(number: int, role: Any = "search", **tags: str) -> TrialInfo:
    config = {"growth": {"kind": "periodic"}, "model": {"widths": [8, 8]}, "seed": 5}
    return TrialInfo(number, role, config, {"model.widths": [8, 8]}, (3,), tags, None)


def record(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "step": 5 * epoch, "metrics": {"accuracy": epoch / 10}, "events": [], "at_rest": True}


def tracked(store: Store, **settings: Any) -> MlflowTracker:
    tracker = MlflowTracker(store, "experiment", store.folder, **{"gather_seconds": 0.01, **settings})
    tracker.start_study(STUDY)
    return tracker


def runs(store: Store) -> dict[str, Any]:
    client = connect(store)
    found = client.search_runs([client.get_experiment_by_name("experiment").experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name.partition(",")[0]: run for run in found}


def test_a_run_tells_what_it_is_and_what_it_depends_on(embedded):
    tracker = tracked(embedded)
    tracker.start_trial(trial(7, data_hash="abc"))
    tracker.start_trial(trial(8, "control"))
    tracker.end_trial(7, FINISHED, feasible=False)
    assert tracker.close(120) == 0
    found = runs(embedded)
    assert {*found} == {"digits", "00007 periodic", "00008 control periodic"}
    tags = found["00007 periodic"].data.tags
    ours = {name.removeprefix("neurosearch."): text for name, text in tags.items() if name.startswith("neurosearch.")}
    assert "torch " in ours.pop("versions")
    assert ours == {
        "study": "digits",
        "trial": "7",
        "role": "search",
        "growth": "periodic",
        "seed": "5",
        "data_hash": "abc",
        "feasible": "false",
    }
    assert tags["mlflow.parentRunId"] == found["digits"].info.run_id == tracker.study_run_id
    assert found["00007 periodic"].data.params == {"model.widths": "[8, 8]"}


def test_the_name_of_a_run_tells_kind_score_and_size_once_it_has_ended(embedded):
    study = replace(STUDY, config={"name": "digits", "size_limit": {"neurons": 64}})
    tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01)
    tracker.start_study(study)
    ends = {
        0: (
            TrialOutcome("finished", None, {"accuracy": 0.81239, "neurons": 24.0, "parameters": 9e3}, 3, 1.0, ()),
            True,
        ),
        1: (TrialOutcome("finished", None, {"accuracy": 0.9, "neurons": 1024.0}, 3, 1.0, ()), False),
        2: (TrialOutcome("stopped", "others are better", {"accuracy": 0.2, "neurons": 16.0}, 1, 1.0, ()), False),
        3: (TrialOutcome.failed("the loss is not finite"), False),
    }
    for number, (outcome, feasible) in ends.items():
        tracker.start_trial(trial(number))
        tracker.end_trial(number, outcome, feasible)
    tracker.start_trial(trial(4, "finalist"))
    assert tracker.close(120) == 0
    client = connect(embedded)
    found = client.search_runs([client.get_experiment_by_name("experiment").experiment_id])
    assert sorted(run.info.run_name for run in found) == [
        "00000 periodic, 0.8124, 24 neurons",
        "00001 periodic, 0.9000, 1,024 neurons, beyond a bound",
        "00002 periodic, stopped, 16 neurons",
        "00003 periodic, failed",
        "00004 finalist periodic",
        "digits",
    ]


def test_a_study_says_what_it_searches(embedded):
    config = {
        "name": "digits",
        "data": {"kind": "npz"},
        "model": {"kind": {"search": "choice", "options": ["mlp", "cnn"]}},
        "growth": {"search": "one_of", "options": [{"kind": "static"}, {"kind": "nimble"}]},
        "size_limit": {"parameters": 20000},
        "search": {"trials": 30},
    }
    tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01)
    tracker.start_study(replace(STUDY, config=config))
    assert tracker.close(120) == 0
    assert runs(embedded)["digits"].data.tags["mlflow.note.content"] == (
        "**digits** searches by accuracy. Models: mlp, cnn; growth: static, nimble; data: npz; "
        "at most 20,000 parameters; 30 trials."
    )


def test_the_whole_config_is_a_file_of_the_run(embedded):
    tracker = tracked(embedded)
    tracker.start_trial(trial(0))
    assert tracker.close(120) == 0
    client, found = connect(embedded), runs(embedded)
    for name, config in (("digits", STUDY.config), ("00000 periodic", trial(0).config)):
        from mlflow.artifacts import load_dict

        assert load_dict(f"{found[name].info.artifact_uri}/config.json") == config
    assert [file.path for file in client.list_artifacts(found["digits"].info.run_id)] == ["config.json"]


def test_the_config_of_a_study_is_the_one_that_it_goes_on_with(embedded):
    for trials in (5, 9):
        tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01)
        tracker.start_study(replace(STUDY, config={"name": "digits", "search": {"trials": trials}}))
        assert tracker.close(120) == 0
    run = runs(embedded)["digits"]
    path = connect(embedded).download_artifacts(run.info.run_id, "config.json")
    assert json.loads(Path(path).read_text())["search"] == {"trials": 9}


def test_telling_does_not_wait_for_a_store(tmp_path):
    tracker = tracked(choose_store(tmp_path, "http://127.0.0.1:9"))
    begun = time.perf_counter()
    for number in range(100):
        tracker.start_trial(trial(number))
        tracker.log(number, [record(1), record(2)])
        tracker.end_trial(number, FINISHED, feasible=True)
    assert time.perf_counter() - begun < 1
    begun = time.perf_counter()
    assert tracker.close(0.5) == 100 * 4 + 1
    assert time.perf_counter() - begun < 3
    assert tracker.run_ids() == {}


def test_a_store_that_cannot_be_written_is_said_once_and_without_a_password(tmp_path, caplog):
    store = choose_store(tmp_path, "http://ann:secret@127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        tracker = tracked(store)
        tracker.start_trial(trial(0))
        until = time.monotonic() + 60
        while "***@" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)
        assert tracker.close(2) > 0
    said = [each.getMessage() for each in caplog.records if each.name.startswith("neurosearch")]
    # A tracker of another test may still be trying; its address has no password.
    assert sum("http://***@127.0.0.1:9 cannot be written to; trials go on" in each for each in said) == 1
    assert sum("***@" in each for each in said) == 1
    assert "secret" not in caplog.text


def test_what_breaks_after_the_end_is_not_said_to_be_tried_again(tmp_path, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        tracker = tracked(choose_store(tmp_path, f"http://127.0.0.1:{port}"))
        assert tracker.close(0.1) > 0
    with caplog.at_level(logging.WARNING):
        tracker._thread.join(60)
    assert not tracker._thread.is_alive()
    assert not [each for each in caplog.records if f"127.0.0.1:{port}" in each.getMessage()]


def test_what_a_store_missed_is_written_when_it_is_back(embedded: Store, tmp_path: Path):
    away = tmp_path / "away.db"
    embedded.database.rename(away)
    embedded.database.mkdir()  # a database that cannot be opened
    tracker = tracked(embedded)
    tracker.start_trial(trial(0))
    tracker.log(0, [record(1)])
    time.sleep(0.5)
    tracker.log(0, [record(2)])
    assert tracker.study_run_id is None
    embedded.database.rmdir()
    away.rename(embedded.database)
    assert tracker.close(120) == 0
    run = runs(embedded)["00000 periodic"]
    assert [metric.step for metric in connect(embedded).get_metric_history(run.info.run_id, "accuracy")] == [1, 2]


def test_what_does_not_fit_is_counted_and_the_rest_is_written(embedded: Store):
    tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01, max_waiting=4)
    for number in range(2):
        tracker.start_trial(trial(number))
        tracker.log(number, [record(1), record(2)])
    tracker.start_study(STUDY)
    assert tracker.close(120) == 3
    assert {*runs(embedded)} == {"digits", "00001 periodic"}


def test_a_run_deleted_by_hand_is_given_up_and_the_others_go_on(embedded: Store, caplog: pytest.LogCaptureFixture):
    first = tracked(embedded)
    first.start_trial(trial(0))
    assert first.close(120) == 0
    [run_id] = first.run_ids().values()
    connect(embedded).delete_run(run_id)

    second = tracked(embedded)
    second.start_trial(TrialInfo(0, "search", {}, {}, (3,), {}, run_id))
    second.log(0, [record(1)])
    second.start_trial(trial(1))
    with caplog.at_level(logging.WARNING):
        assert second.close(120) == 2
    assert "MLflow refuses trial 0" in caplog.text
    assert "00001 periodic" in runs(embedded)


def test_a_store_that_takes_no_files_goes_without_them(embedded: Store, caplog: pytest.LogCaptureFixture):
    embedded.artifacts.write_text("in the way of the folder")
    tracker = tracked(embedded)
    tracker.start_trial(trial(0))
    tracker.log(0, [record(1)])
    tracker.end_trial(0, FINISHED, feasible=True)
    with caplog.at_level(logging.WARNING):
        assert tracker.close(120) == 2
    assert "does not take files" in caplog.text
    assert {run.info.status for run in runs(embedded).values()} == {"FINISHED"}


def test_a_server_that_takes_a_call_and_never_answers_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = tracked(choose_store(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        tracker.start_trial(trial(0))
        begun = time.perf_counter()
        assert tracker.close(0.5) == 2
        assert time.perf_counter() - begun < 2
