import os
import socket
import sqlite3
from contextlib import closing

import pytest

from neurosearch.search.connections import connect, password
from neurosearch.search.errors import NoStudy, StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import holder, search_lock
from neurosearch.search.storage import open_storage, storage_exists, stored_names
from neurosearch.search.stored import StoredStudy
from neurosearch.search.study import create_study
from tests.postgres import PASSWORD


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Commands wait three seconds for a server; tests do not."""
    monkeypatch.setattr("neurosearch.search.patience._LOOK_SECONDS", 0.0)


def refused(folder, why, make_config):
    """Every way to a storage that cannot be used ends in the same words, without a password."""
    for look in (storage_exists, StoredStudy, open_storage, lambda where: create_study(where, make_config())):
        with pytest.raises(StudyError, match=why) as raised:
            look(folder)
        assert not isinstance(raised.value, NoStudy)
        assert str(raised.value).startswith(f"{folder.database} cannot be used: ")
        assert PASSWORD not in str(raised.value)


@pytest.mark.servers
class TestServer:
    def test_nothing_listens(self, tmp_path, make_config):
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        folder = StudyFolder(tmp_path, "moons", f"postgresql://ann@127.0.0.1:{port}/studies")
        refused(folder, f"nothing listens at 127.0.0.1:{port}. Start the server, or mend host and port.", make_config)
        with pytest.raises(StudyError, match="nothing listens"):
            holder(folder)

    def test_nobody_knows_the_host(self, tmp_path, make_config):
        folder = StudyFolder(tmp_path, "moons", "postgresql://ann@no-host.invalid/studies")
        refused(folder, "no host 'no-host.invalid' is known. Mend the host", make_config)

    def test_something_else_listens(self, tmp_path, make_config, monkeypatch):
        monkeypatch.setattr("neurosearch.search.connections._ANSWER_SECONDS", 0.3)
        with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
            place = f"127.0.0.1:{deaf.getsockname()[1]}"
            folder = StudyFolder(tmp_path, "moons", f"postgresql://ann@{place}/studies")
            refused(folder, f"{place} does not answer. Start the server, or mend", make_config)

    def test_the_password_is_wrong_or_missing(self, tmp_path, make_config, new_database, monkeypatch):
        folder = StudyFolder(tmp_path, "moons", new_database())
        monkeypatch.setenv("NEUROSEARCH_DATABASE_PASSWORD", "leopard")
        refused(folder, "it refuses the password of 'ann'. Set NEUROSEARCH_DATABASE_PASSWORD", make_config)
        monkeypatch.delenv("NEUROSEARCH_DATABASE_PASSWORD")
        refused(folder, "it asks for the password of 'ann'. Set NEUROSEARCH_DATABASE_PASSWORD", make_config)

    def test_the_database_is_missing(self, tmp_path, make_config, new_database):
        folder = StudyFolder(tmp_path, "moons", new_database().replace("studies", "nothing"))
        refused(folder, "has no database 'nothing_.*'. Make it with `createdb -h 127.0.0.1 -p .* -U ann", make_config)

    def test_the_role_is_missing(self, tmp_path, make_config, new_database):
        folder = StudyFolder(tmp_path, "moons", new_database().replace("ann@", "zoe@"))
        refused(folder, "it refuses the password of 'zoe'", make_config)  # the server does not tell who is missing

    def test_the_role_may_not_make_tables(self, tmp_path, make_config, new_database, postgres, monkeypatch):
        database = new_database()
        postgres.sql("DROP ROLE IF EXISTS bob")
        postgres.sql("CREATE ROLE bob LOGIN PASSWORD 'tiger and lily'")
        folder = StudyFolder(tmp_path, "moons", database.replace("ann@", "bob@"))
        with pytest.raises(StudyError, match="'bob' may not do what a search needs .*schema public.*GRANT CONNECT ON"):
            create_study(folder, make_config())
        assert stored_names(folder) == ()
        name = database.rsplit("/", 1)[1]
        postgres.sql(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        refused(folder, "'bob' may not do what a search needs .*CONNECT", make_config)

    def test_the_connection_cannot_be_encrypted(self, tmp_path, make_config, new_database):
        folder = StudyFolder(tmp_path, "moons", f"{new_database()}?sslmode=require")
        refused(folder, "Server refuses SSL", make_config)

    def test_the_tables_are_those_of_another_program(self, tmp_path, make_config, new_database, postgres):
        folder = StudyFolder(tmp_path, "moons", new_database())
        name = folder.database.rsplit("/", 1)[1]
        postgres.sql("CREATE TABLE alembic_version (version_num varchar(32))", name)  # as MLflow does
        with pytest.raises(StudyError, match="tables of another program.*Give studies a database of their own"):
            create_study(folder, make_config())
        assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name)[0][0] == 1

    def test_a_password_comes_from_a_file_too(self, tmp_path, new_database, monkeypatch):
        from neurosearch.config.database import database_address

        address = database_address(new_database())
        monkeypatch.delenv("NEUROSEARCH_DATABASE_PASSWORD")
        file = tmp_path / "secret"
        monkeypatch.setenv("NEUROSEARCH_DATABASE_PASSWORD_FILE", str(file))
        with pytest.raises(StudyError, match="NEUROSEARCH_DATABASE_PASSWORD_FILE names, cannot be read: No such file"):
            connect(address)
        file.write_text(f"{PASSWORD}\n")
        connect(address).close()

    def test_the_address_that_optuna_keeps_holds_neither_host_nor_password(self, tmp_path, new_database):
        storage = open_storage(StudyFolder(tmp_path, "moons", new_database())).optuna
        backend = storage._inner._backend
        assert backend.url == "postgresql+pg8000://"
        assert PASSWORD not in repr(vars(backend)) + repr(backend.engine.url)


class TestSqlite:
    def test_the_folder_is_missing(self, tmp_path, make_config):
        folder = StudyFolder(tmp_path / "runs", "moons", f"sqlite:///{tmp_path}/none/studies.db")
        refused(folder, f"there is no folder {tmp_path}/none. Make it, or mend the address", make_config)

    def test_the_file_is_no_database(self, tmp_path, make_config):
        file = tmp_path / "studies.db"
        file.write_text("trials: none\n" * 100)
        folder = StudyFolder(tmp_path / "runs", "moons", f"sqlite:///{file}")
        refused(folder, "it is no SQLite database. Name another file", make_config)
        assert file.read_text() == "trials: none\n" * 100

    def test_the_file_is_a_folder(self, tmp_path, make_config):
        folder = StudyFolder(tmp_path / "runs", "moons", f"sqlite:///{tmp_path}")
        refused(folder, "unable to open database file. See that the file and its folder can be written", make_config)

    def test_another_program_keeps_the_file_locked(self, tmp_path, monkeypatch, make_config):
        folder = StudyFolder(tmp_path / "runs", "moons", f"sqlite:///{tmp_path}/studies.db")
        study = create_study(folder, make_config())
        monkeypatch.setattr("neurosearch.search.connections._BUSY_SECONDS", 0.1)
        with closing(sqlite3.connect(tmp_path / "studies.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StudyError, match="another process has locked the file. Wait for it"):
                StoredStudy(folder).request_stop()
        study.close()

    def test_the_lock_is_one_however_the_folder_is_named(self, tmp_path):
        folder = StudyFolder(tmp_path / "runs", "moons", f"sqlite:///{tmp_path}/studies.db")
        lock = search_lock(folder)
        elsewhere = StudyFolder(tmp_path / "elsewhere", "moons", f"sqlite:///{tmp_path}/studies.db")
        with pytest.raises(StudyError, match=f"by process {os.getpid()} on"):
            search_lock(elsewhere)
        lock.release()


class TestJournal:
    @pytest.mark.parametrize(
        "text",
        [
            "what a day\n",
            "[1, 2]\n",
            '{"op_code": 99}\n',
            '{"op_code": 0, "worker_id": "a", "study_name": "moons", "directions": [1]}\n{"op_code": 4, "wor\n',
            "\x00\x01\x02\n",
            "\N{SNOWMAN}\n",
        ],
    )
    def test_the_file_is_no_journal(self, folder, text, make_config):
        folder.path.mkdir(parents=True)
        folder.journal.write_text(text)
        for look in (StoredStudy, lambda where: create_study(where, make_config())):
            with pytest.raises(StudyError, match="is no journal of a study, or is damaged. Restore it") as raised:
                look(folder)
            assert not isinstance(raised.value, NoStudy)
        assert folder.journal.read_text() == text

    def test_the_file_is_a_folder(self, folder, make_config):
        folder.journal.mkdir(parents=True)
        with pytest.raises(StudyError, match="study.journal cannot be read: Is a directory"):
            create_study(folder, make_config())


def test_a_password_of_ours_comes_before_that_of_postgresql(monkeypatch):
    monkeypatch.delenv("NEUROSEARCH_DATABASE_PASSWORD", raising=False)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert password() is None
    monkeypatch.setenv("PGPASSWORD", "theirs")
    assert password() == "theirs"
    monkeypatch.setenv("NEUROSEARCH_DATABASE_PASSWORD", "ours")
    assert password() == "ours"
