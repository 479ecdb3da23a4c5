import pytest

from neurosearch.tracking.server_schema import upgrade
from neurosearch.tracking.server_users import let_in, main

# MLflow's server warns of its own foundations, and alembic of MLflow's files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated"),
    pytest.mark.filterwarnings("ignore:No path_separator found"),
]
FIRST, SECOND = "lily and tiger", "tiger and lily"


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    made = f"sqlite:///{tmp_path_factory.mktemp('server') / 'server.db'}"
    upgrade(made)
    return made


@pytest.fixture
def users(uri):
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # warns, as above

    store = SqlAlchemyStore()
    store.init_db(uri)
    yield store
    store.engine.dispose()


def test_the_user_of_the_studies_is_no_administrator_and_gets_the_password_of_now(uri, users):
    let_in(uri, "studies", FIRST, "admin")
    assert users.authenticate_user("studies", FIRST)
    let_in(uri, "studies", SECOND, "admin")
    assert (users.authenticate_user("studies", FIRST), users.authenticate_user("studies", SECOND)) == (False, True)
    assert not users.get_user("studies").is_admin


def test_nobody_is_let_in_as_administrator_whether_they_are_made_already_or_not(uri, users):
    with pytest.raises(ValueError, match="admin is MLflow's administrator, as whom no search logs in. Make the login"):
        let_in(uri, "admin", FIRST, "admin")
    assert not users.has_user("admin")
    users.create_user("root", FIRST, is_admin=True)
    with pytest.raises(ValueError, match="root is MLflow's administrator"):
        let_in(uri, "root", SECOND, "admin")
    assert users.authenticate_user("root", FIRST)


def test_the_login_and_the_servers_settings_come_from_the_environment(uri, users, tmp_path, monkeypatch, caplog):
    settings = tmp_path / "auth.ini"
    fields = {"default_permission": "NO_PERMISSIONS", "database_uri": uri, "admin_username": "admin"}
    settings.write_text("\n".join(["[mlflow]", *(f"{key} = {value}" for key, value in fields.items())]))
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(settings))
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    assert main() == 2
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "others")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", FIRST)
    assert main() == 0
    assert users.authenticate_user("others", FIRST)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    assert main() == 1
