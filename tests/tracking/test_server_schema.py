import socket
from threading import Thread

import pytest
from sqlalchemy import create_engine

from neurosearch.tracking.server_schema import is_current, main, upgrade, wait

# MLflow's server warns of its own foundations, and alembic of MLflow's files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated"),
    pytest.mark.filterwarnings("ignore:No path_separator found"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    uri = f"sqlite:///{tmp_path_factory.mktemp('server') / 'server.db'}"
    upgrade(uri)
    return uri


def test_an_empty_database_is_not_current(tmp_path):
    assert not is_current(f"sqlite:///{tmp_path / 'server.db'}")


def test_tables_of_runs_and_of_users_are_made_and_may_be_made_again(made):
    assert is_current(made)
    upgrade(made)
    assert is_current(made)


def test_who_waits_goes_on_once_they_are_there(made):
    wait(made, seconds=0.0)


def test_who_waits_in_vain_is_told_where_to_look(tmp_path):
    pauses = []
    with pytest.raises(TimeoutError, match="logs job/mlflow-upgrade"):
        wait(f"sqlite:///{tmp_path / 'server.db'}", seconds=4.0, pause=pauses.append)
    assert sum(pauses) == 4.0


@pytest.mark.parametrize(("words", "uri"), [([], "sqlite://"), (["upgrade"], None), (["downgrade"], "sqlite://")])
def test_a_wrong_call_is_refused(words, uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    if uri:
        monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", uri)
    assert main(words) == 2


def test_the_address_comes_from_the_environment(made, monkeypatch):
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", made)
    assert main(["wait"]) == 0


@pytest.fixture
def database_without_tls():
    """An address whose server says that it has no TLS, and what it is sent afterwards."""
    sent = []

    def answer():
        connection, _ = server.accept()
        with connection:
            connection.recv(8)
            connection.sendall(b"N")
            sent.append(connection.recv(1024))

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        thread = Thread(target=answer)
        thread.start()
        yield f"postgresql+pg8000://mlflow:tiger@127.0.0.1:{server.getsockname()[1]}/mlflow", sent
        thread.join()


def test_mlflows_driver_goes_on_unencrypted_where_the_server_has_no_tls(database_without_tls):
    address, sent = database_without_tls
    assert not is_current(address)
    assert b"user\0mlflow\0" in sent[0]


def test_mlflows_driver_cannot_be_told_by_its_address_to_check_a_certificate():
    with pytest.raises(TypeError, match="unexpected keyword argument 'sslmode'"):
        create_engine("postgresql+pg8000://mlflow@127.0.0.1:1/mlflow?sslmode=verify-full").connect()
