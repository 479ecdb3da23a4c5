"""Nobody in who does not belong: what strangers, foreign pages and harmful names meet at MLflow's server."""

import base64
import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests import mlflow_server as servers

pytestmark = pytest.mark.servers


def asked(address, method, path, body=None, **headers):
    """Status and text of the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that keeps artifacts in a folder, beside the database of its users."""
    started = servers.Server(tmp_path_factory.mktemp("mlflow"), secured=True)
    started.start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def mlflow_login():
    login = base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {login}"}


@pytest.mark.parametrize("login", [{}, {"Authorization": "Basic cm9vdDpyb290"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/a.txt"),
        ("GET", "/get-artifact?run_id=x&path=a"),
        ("GET", "/ajax-api/2.0/mlflow/users/get?username=root"),
    ],
)
def test_without_the_password_nothing_is_told_or_done(server, method, path, login):
    assert asked(server.uri, method, path, "{}", **login)[0] == 401


def test_a_foreign_name_is_refused_though_the_password_is_right(server, mlflow_login):
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert asked(server.uri, "GET", path, **mlflow_login)[0] == 200
    status, text = asked(server.uri, "GET", path, Host="evil.example", **mlflow_login)
    assert status == 403
    assert "Invalid Host header" in text


def test_a_foreign_page_changes_nothing(server, mlflow_login):
    path, body = "/api/2.0/mlflow/experiments/create", json.dumps({"name": "by a foreign page"})
    status, text = asked(server.uri, "POST", path, body, Origin="http://evil.example", **mlflow_login)
    assert status == 403
    assert "Cross-origin request blocked" in text


@pytest.mark.parametrize(
    "name",
    ["../users.db", "%2e%2e/users.db", "..%2fusers.db", "%252e%252e%252fusers.db", "%2fetc/passwd", "a/../../users.db"],
)
def test_names_of_artifacts_do_not_lead_out(server, mlflow_login, name):
    for method, body in (("GET", None), ("PUT", "x"), ("DELETE", None)):
        path = f"/api/2.0/mlflow-artifacts/artifacts/{name}"
        status, text = asked(server.uri, method, path, body, **mlflow_login)
        assert 300 <= status < 500, (method, status, text)  # what begins with a slash is led back below the folder
        assert "SQLite format" not in text
        assert "root:" not in text
