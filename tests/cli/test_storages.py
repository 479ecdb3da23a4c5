"""Storages as a user meets them: by what is typed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import search_lock
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import Study, create_study
from neurosearch.training.records import EpochRecord

ON_A_STUDY = ("status", "stop", "resume", "export", "report", "sync", "ui")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    address: str = request.getfixturevalue("new_database")()
    return address


@pytest.fixture
def study(tiny: Callable[..., Any], tmp_path: Path, database: str) -> Iterator[Study]:
    """A study in that database, of which one trial was asked."""
    config = tiny(storage={"folder": str(tmp_path / "shared"), "database": database})
    study = create_study(StudyFolder.of(config.study), config)
    study.ask()
    yield study
    study.close()


def test_a_study_is_found_by_its_database_alone(study: Study, type_in: Callable[..., Any], database: str) -> None:
    facts = type_in("status", "tiny", "--database", database, "--json").facts
    assert facts["counts"]["running"] == 1
    assert facts["database"] == database
    assert facts["folder"] == str(study.stored.folder.path)
    assert facts["searched_by"].startswith(f"process {os.getpid()} on ")
    assert facts["next"][0] == f"neurosearch status tiny --folder {study.stored.folder.root} --database {database}"


def test_the_environment_names_the_database(
    study: Study, type_in: Callable[..., Any], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROSEARCH_DATABASE", database)
    assert f"asked process {os.getpid()}" in type_in("stop", "tiny").out
    assert study.stored.stop_requested


def test_the_config_beside_the_trials_names_the_database(study: Study, type_in: Callable[..., Any]) -> None:
    from neurosearch.search.run import write_config

    folder = study.stored.folder
    write_config(folder, study.config)
    assert type_in("status", "tiny", "--folder", folder.root, "--json").facts["database"] == folder.database


def test_a_study_that_is_searched_is_not_resumed(study: Study, type_in: Callable[..., Any], database: str) -> None:
    study.stored.folder.trial(0).mkdir(parents=True)
    typed = type_in("resume", "tiny", "--database", database)
    assert typed.code == 2
    assert f"is being searched already, by process {os.getpid()} on" in typed.err


def test_a_study_whose_checkpoints_vanished_is_left_as_it_is(
    study: Study, type_in: Callable[..., Any], database: str, tmp_path: Path
) -> None:
    record = EpochRecord(1, 5, {"balanced_accuracy": 0.5, "train_multiply_adds": 1.0}, (), True).to_dict()
    study.report(0, [{**record, "seed_index": 0, "checkpoint": None}])
    study.close()
    folder = study.stored.folder
    before = StoredStudy(folder).attributes()
    folder.trial(0).mkdir(parents=True)
    shutil.move(folder.root, tmp_path / "elsewhere")
    typed = type_in("resume", "tiny", "--database", database)
    assert typed.code == 2
    assert f"{folder.trials}, where its trials keep their checkpoints, is gone. Bring it back" in typed.err
    assert "search.warm_start" in typed.err
    (tmp_path / "elsewhere" / "tiny" / "trials" / "00000").rmdir()
    typed = type_in("resume", "tiny", "--database", database, "--folder", tmp_path / "elsewhere")
    assert "where trial 0 kept its checkpoints, is gone" in typed.err
    assert StoredStudy(folder).attributes() == before


@pytest.mark.parametrize("command", ON_A_STUDY)
def test_every_command_on_a_study_takes_its_database(type_in: Callable[..., Any], command: str, tmp_path: Path) -> None:
    typed = type_in(command, "tiny", "--database", f"sqlite:///{tmp_path}/none/studies.db")
    assert typed.code == 2
    assert f"cannot be used: there is no folder {tmp_path}/none. Make it, or mend the address." in typed.err


@pytest.mark.parametrize("command", ON_A_STUDY)
def test_a_typed_password_is_refused_and_not_repeated(type_in: Callable[..., Any], command: str) -> None:
    typed = type_in(command, "tiny", "--database", "postgresql://ann:tiger@127.0.0.1/studies")
    assert typed.code == 2
    assert "--database (or NEUROSEARCH_DATABASE) holds a password" in typed.err
    assert "tiger" not in typed.err + typed.out
    assert "--database postgresql://ann@127.0.0.1/studies" in typed.err


def test_a_password_in_a_config_is_refused_and_not_repeated(
    type_in: Callable[..., Any], config: Callable[..., Path]
) -> None:
    secret = "postgresql://ann:tiger@127.0.0.1/studies"
    for storage, words in ((f"{{database: '{secret}'}}", ()), ("{}", ("--set", f"storage.database={secret}"))):
        typed = type_in("check", config(storage=storage), *words)
        assert typed.code == 2
        assert "storage.database: holds a password" in typed.err
        assert "NEUROSEARCH_DATABASE_PASSWORD" in typed.err
        assert "tiger" not in typed.err + typed.out


def test_a_storage_that_cannot_be_used_is_found_before_a_search(
    type_in: Callable[..., Any], config: Callable[..., Path], tmp_path: Path
) -> None:
    path = config(storage=f"{{database: 'sqlite:///{tmp_path}/none/studies.db'}}")
    typed = type_in("check", path, "--data")
    assert typed.code == 2
    assert "storage.database" in typed.err
    assert f"there is no folder {tmp_path}/none" in typed.err
    assert f"there is no folder {tmp_path}/none" in type_in("search", path).err
    assert not (tmp_path / "runs").exists()


def test_a_name_that_no_study_has_shows_those_that_are_there(
    study: Study, type_in: Callable[..., Any], database: str
) -> None:
    typed = type_in("status", "huge", "--database", database)
    assert typed.code == 2
    assert f"there is no study 'huge' in {database}. Studies there: tiny. Name one of them" in typed.err
    assert f"neurosearch status tiny --database {database}" in typed.err


def test_a_journal_that_is_none_is_told_and_left_alone(
    type_in: Callable[..., Any], config: Callable[..., Path], tmp_path: Path
) -> None:
    journal = tmp_path / "runs" / "tiny" / "study.journal"
    journal.parent.mkdir(parents=True)
    journal.write_text("dear diary\n")
    for words in (("status", "tiny"), ("resume", "tiny"), ("search", config()), ("check", config(), "--data")):
        typed = type_in(*words)
        assert typed.code == 2, words
        assert "is no journal of a study, or is damaged. Restore it from a copy" in typed.err
    assert journal.read_text() == "dear diary\n"


def test_a_journal_of_a_living_search_is_left_alone(
    start: Callable[..., Study], type_in: Callable[..., Any], tmp_path: Path
) -> None:
    start(tmp_path / "runs").close()
    lock = search_lock(StudyFolder(tmp_path / "runs", "tiny"))
    typed = type_in("resume", "tiny")
    assert typed.code == 2
    assert f"the study 'tiny' is being searched already, by process {os.getpid()} on" in typed.err
    assert "neurosearch stop tiny" in typed.err
    lock.release()


@pytest.fixture
def far(bucket: Path, s3: Any, tmp_path: Path) -> Callable[..., str]:
    """Writes a storage section with artifacts in a bucket of the S3 server."""

    def section(name: str = bucket.name, endpoint: str = s3.endpoint) -> str:
        return f"{{artifacts: 's3://{name}/team', s3: {{endpoint: '{endpoint}', path_style: true, tries: 1}}}}"

    return section


@pytest.mark.servers
def test_a_bucket_that_cannot_be_used_is_found_before_a_search(
    type_in: Callable[..., Any], config: Callable[..., Path], far: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert type_in("check", config(storage=far()), "--data").code == 0
    assert "ok     artifacts: s3://" in type_in("doctor", "--config", "tiny.yaml").out
    gone = config(storage=far("not-there"))
    for command in (("check", gone, "--data"), ("search", gone)):
        typed = type_in(*command)
        assert typed.code == 2
        assert "storage.artifacts" in typed.err
        assert "there is no bucket not-there. Make it" in typed.err
    assert "wrong  artifacts: s3://not-there/team cannot be used" in type_in("doctor", "--config", gone).err
    typed = type_in("check", config(storage=far(endpoint="http://127.0.0.1:1")), "--data")
    assert "Check storage.s3.endpoint and the network." in typed.err
    assert typed.code == 3
    assert "nothing was started. Start again when the server answers." in typed.err
    config(storage=far())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    typed = type_in("check", "tiny.yaml", "--data", "--set", "name=other")
    assert "the secret key does not fit" in typed.err
    assert "swordfish" not in typed.err + typed.out
    assert not Path("runs").exists()


@pytest.mark.servers
def test_a_database_without_rights_is_found_before_a_search(
    type_in: Callable[..., Any],
    config: Callable[..., Path],
    postgres: Any,
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = new_database().rpartition("/")[2]
    postgres.sql(f"CREATE ROLE carl LOGIN PASSWORD '{os.environ['NEUROSEARCH_DATABASE_PASSWORD']}'")
    path = config(storage=f"{{database: '{postgres.address(name, user='carl')}'}}")
    for command in (("check", path, "--data"), ("search", path)):
        typed = type_in(*command)
        assert typed.code == 2
        assert "'carl' may not do what a search needs" in typed.err
        assert "GRANT USAGE, CREATE ON SCHEMA public" in typed.err
    assert "wrong  storage" in type_in("doctor", "--config", path).err
    assert not Path("runs").exists()


def test_how_s3_is_reached_needs_an_address(type_in: Callable[..., Any], config: Callable[..., Path]) -> None:
    typed = type_in("check", config(storage="{s3: {path_style: true}}"))
    assert "artifacts has no address. Write artifacts: s3://BUCKET/PREFIX" in typed.err
    typed = type_in("check", config(storage="{artifacts: /shared}"))
    assert "is no address in S3; write s3://BUCKET/PREFIX" in typed.err
