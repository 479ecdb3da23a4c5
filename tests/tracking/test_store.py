import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurosearch.tracking.store import Store, StoreError, choose_store, connect, experiment_id, patient, read_password


def test_without_a_server_runs_lie_beside_the_studies(tmp_path):
    store = choose_store(tmp_path / "runs", None)
    assert store == Store(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}", tmp_path / "runs", embedded=True)


def test_a_server_is_shown_without_its_password(tmp_path):
    assert choose_store(tmp_path, "http://ann:secret@host:5000").shown == "http://***@host:5000"


def test_studies_of_one_name_on_one_server_are_told_apart_by_their_folders(tmp_path):
    first, second = (choose_store(tmp_path / name, "http://host:5000") for name in "ab")
    assert first.study_key("digits") == first.study_key("digits") != second.study_key("digits")


def test_a_study_in_a_server_s_database_is_the_same_from_every_machine_and_folder(tmp_path):
    address = "postgresql://ann@db:5432/studies"
    one, two = (choose_store(tmp_path / name, "http://host:5000", address) for name in "ab")
    assert one.study_key("digits") == two.study_key("digits")
    files = [choose_store(tmp_path / name, "http://host:5000", "sqlite:///studies.db") for name in "ab"]
    assert files[0].study_key("digits") != files[1].study_key("digits")


def test_a_password_in_a_file_is_read_and_one_in_the_environment_wins(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    read_password()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "from the file"
    secret.write_text("another")
    read_password()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "from the file"


def test_a_study_in_an_embedded_store_may_move_to_another_folder(tmp_path):
    first, second = (choose_store(tmp_path / name, None) for name in "ab")
    assert first.study_key("digits") == second.study_key("digits")


def test_a_database_that_is_there_is_used_as_it_is(embedded):
    made = experiment_id(connect(embedded), embedded, "digits")
    assert experiment_id(connect(embedded), embedded, "digits") == made


def test_the_files_of_an_experiment_lie_beside_the_database(embedded):
    client = connect(embedded)
    found = client.get_experiment(experiment_id(client, embedded, "digits"))
    assert found.artifact_location == embedded.artifacts.as_uri()


def test_a_deleted_experiment_is_named_with_its_remedy(embedded):
    client = connect(embedded)
    client.delete_experiment(experiment_id(client, embedded, "digits"))
    with pytest.raises(StoreError, match=r"'digits' was deleted. Restore it .*tracking\.experiment"):
        experiment_id(client, embedded, "digits")


def test_a_damaged_database_is_named_with_its_remedy(embedded):
    embedded.database.write_bytes(b"no database" * 1000)
    with pytest.raises(
        StoreError, match=r"mlflow\.db cannot be opened: file is not a database.*`neurosearch sync STUDY`"
    ):
        connect(embedded)


def test_pickles_are_refused_whatever_the_environment_says(embedded, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    connect(embedded)
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_patience_ends(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    with patient(60):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    with patient(60):
        pass
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.slow
def test_two_processes_that_begin_together_make_one_quiet_database(tmp_path: Path):
    code = (
        "from neurosearch.tracking.store import *\n"
        f"store = choose_store({str(tmp_path / 'runs')!r}, None)\n"
        "client = connect(store)\n"
        "print(experiment_id(client, store, 'digits'))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert said == [("1\n", ""), ("1\n", "")]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert {path.stem for path in (tmp_path / "runs").iterdir()} == {"mlflow"}


def test_importing_the_room_imports_no_mlflow():
    code = (
        "import sys\n"
        "from neurosearch.tracking import mlflow_tracker, memory_tracker, models, runs, store, sync, ui\n"
        "assert not {'mlflow', 'torch', 'numpy'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
