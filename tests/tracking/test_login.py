"""A tracking server that asks for a password, over PostgreSQL and S3, is told a study as any other."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.files import log_files
from neurosearch.tracking.login import refusal
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.store import StoreError, choose_store, connect
from tests.mlflow_server import PASSWORD, USER

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TRIAL = TrialInfo(0, "search", {"growth": {"kind": "static"}}, {"training.epochs": 1}, (3,), {}, None)
FINISHED = TrialOutcome("finished", None, {"accuracy": 0.3}, 1, 10.0, ())


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    return monkeypatch


def test_a_password_in_a_file_lets_us_in_and_files_go_through_the_server(
    mlflow_server: Any, login: pytest.MonkeyPatch, tmp_path: Path, s3_server: Any
) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    login.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(secret))
    assert refusal(mlflow_server.uri) is None
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        login.delenv(name, raising=False)  # the server has the keys
    store = choose_store(tmp_path, mlflow_server.uri)
    tracker = MlflowTracker(store, "secured", tmp_path)
    tracker.start_study(StudyInfo("digits", {"name": "digits"}, 3, "accuracy", None))
    tracker.start_trial(TRIAL)
    record = {"epoch": 1, "step": 5, "metrics": {"accuracy": 0.3}, "events": [], "at_rest": True}
    tracker.log(0, [{**record, "seed_index": 0, "checkpoint": None}])
    tracker.end_trial(0, FINISHED, feasible=True)
    assert tracker.close(60.0) == 0
    run_id = tracker.run_ids()[0]
    file = tmp_path / "table.csv"
    file.write_text("1,2")
    log_files(store, run_id, "confusion", [file])
    assert connect(store).get_run(run_id).data.metrics["accuracy"] == 0.3
    assert [path.read_text() for path in s3_server.folder.rglob("table.csv")] == ["1,2"]


def test_who_has_no_password_or_a_wrong_one_is_told_what_to_do(
    mlflow_server: Any, login: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login.setenv("MLFLOW_TRACKING_PASSWORD", "swordfish")
    told = refusal(mlflow_server.uri)
    assert told is not None
    assert "refuses the name or the password" in told
    assert "swordfish" not in told
    login.setenv("MLFLOW_TRACKING_USERNAME", "")
    assert "asks for a name and a password. Set MLFLOW_TRACKING_USERNAME" in str(refusal(mlflow_server.uri))
    login.setenv("MLFLOW_TRACKING_PASSWORD", "")
    login.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="which MLFLOW_TRACKING_PASSWORD_FILE names, cannot be read"):
        refusal(mlflow_server.uri)


def test_the_server_answers_to_its_own_names_alone(mlflow_server: Any) -> None:
    request = urllib.request.Request(f"{mlflow_server.uri}/api/2.0/mlflow/experiments/search", headers={"Host": "evil"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    assert refused.value.code == 403
