"""The search strings of docs/mlflow.md find what the page says, in MLflow itself."""

import re
from pathlib import Path
from typing import Any

import pytest

from neurosearch import names
from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import Store, connect

PAGE = (Path(__file__).parents[2] / "docs" / "mlflow.md").read_text("utf-8")
STRINGS = dict(re.findall(r"(?m)^\| ([^|]+) \| ``(.+)`` \|$", PAGE))


def finished(score: float) -> TrialOutcome:
    return TrialOutcome("finished", None, {"balanced_accuracy": score, "parameters": 90.0}, 1, 1.0, ())


def trial(number: int, kind: str, role: Any = "search") -> TrialInfo:
    return TrialInfo(number, role, {"growth": {"kind": kind}}, {}, (3,), {"data_hash": "HASH"}, None)


@pytest.fixture
def runs(embedded: Store) -> Any:
    """Finds the names of runs by a search string, in a store with two studies."""
    for name in ("my-study", "other"):
        tracker = MlflowTracker(embedded, "experiment", embedded.folder, gather_seconds=0.01)
        tracker.start_study(StudyInfo(name, {"name": name}, 3, "balanced_accuracy", None))
        if name == "my-study":
            ends = [(0, "periodic", 0.9, "search"), (1, "periodic", 0.5, "search"), (2, "static", 0.8, "control")]
            for number, kind, score, role in ends:
                tracker.start_trial(trial(number, kind, role))
                tracker.end_trial(number, finished(score), feasible=number != 1)
            tracker.start_trial(trial(3, "nimble"))
            tracker.end_trial(3, TrialOutcome.failed("the loss is not finite"), feasible=False)
        assert tracker.close(120) == 0
    client = connect(embedded)
    experiment = client.get_experiment_by_name("experiment").experiment_id
    (study,) = client.search_runs(
        [experiment], "tags.`neurosearch.study` = 'my-study' and tags.`neurosearch.role` = 'study'"
    )
    client.set_tag(study.info.run_id, names.ANSWER_TAG, "helped")
    client.set_tag(study.info.run_id, "mlflow.source.git.commit", "COMMIT")

    def found(words: str) -> list[str]:
        return sorted(run.info.run_name.partition(",")[0] for run in client.search_runs([experiment], words))

    return found


FOUND = {
    "a study with its trials": ["00000 periodic", "00001 periodic", "00002 control static", "00003 nimble", "my-study"],
    "all studies, not their trials": ["my-study", "other"],
    "trials that grow in cycles, and are good": ["00000 periodic"],
    "finalists, control and arms": ["00002 control static"],
    "what is within all bounds": ["00000 periodic", "00002 control static"],
    "trials that failed": ["00003 nimble"],
    "trials on the same data": ["00000 periodic", "00001 periodic", "00002 control static", "00003 nimble"],
    "studies in which changing neurons helped": ["my-study"],
    "runs of one commit of your code": ["my-study"],
}


def test_every_search_string_of_the_page_finds_what_it_says(runs: Any) -> None:
    assert {what: runs(words) for what, words in STRINGS.items()} == FOUND


def test_every_name_of_a_metric_or_a_tag_stands_on_the_page() -> None:
    told = {*re.findall(r"`([\w./<>]+)`", PAGE)}
    prefixes = {name.partition("<")[0] for name in told if "<" in name}
    spelled = {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    for name, value in spelled.items():
        if name.endswith("_PREFIX"):
            known = any(prefix.startswith(value) for prefix in (*prefixes, "neurosearch.", "test/", "final/"))
        else:
            known = value in told or f"final/{value}" in told
        assert known, f"docs/mlflow.md does not tell of {value}"
