import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from neurosearch.cli.service_health import mlflow, ray, storage
from tests.no_http import no_http


@pytest.fixture
def nobody() -> str:
    """An address of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Answering(BaseHTTPRequestHandler):
    code, date = 200, ""

    def do_GET(self) -> None:
        self.send_response_only(self.code)
        if self.date:
            self.send_header("Date", self.date)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as found:
        Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def test_ray_can_start_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path)[:20])
    assert ray(None).state in ("ok", "mind")
    monkeypatch.setenv("RAY_TMPDIR", f"/{'long' * 20}")
    assert "too long" in ray(None).text
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert (ray(None).state, "RAY_ADDRESS" in ray(None).text) == ("wrong", True)


def test_a_cluster_answers_or_does_not(nobody: str, server: str) -> None:
    assert ray(server.removeprefix("http://")).state == "ok"
    assert "no cluster answers" in ray(nobody).text
    assert "is no address" in ray("ray://somewhere").text


def test_a_folder_that_can_be_written_will_do_and_studies_are_counted(finished: Path, tmp_path: Path) -> None:
    assert storage(tmp_path / "none-yet", None).text.endswith("0 studies")
    assert storage(finished, None).text.endswith("1 study")


def test_a_database_is_opened_and_a_wrong_address_told(tmp_path: Path, nobody: str) -> None:
    assert storage(tmp_path, f"sqlite:///{tmp_path / 'a.db'}").state == "ok"
    assert "no server answers" in storage(tmp_path, f"postgresql://me@{nobody}/studies").text
    told = storage(tmp_path, "postgresql://me:secret@somewhere/studies")
    assert (told.state, "secret" in told.line) == ("wrong", False)


def test_a_damaged_tracking_database_is_wrong(tmp_path: Path) -> None:
    assert mlflow(tmp_path, None).state == "ok"
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    finding = mlflow(tmp_path, None)
    assert (finding.state, "neurosearch sync" in finding.text) == ("wrong", True)


def test_a_tracking_server_answers_or_does_not(tmp_path: Path, nobody: str, server: str) -> None:
    assert mlflow(tmp_path, server).state == "ok"
    finding = mlflow(tmp_path, f"http://{nobody}")
    assert (finding.state, "does not answer" in finding.text) == ("mind", True)
    assert mlflow(tmp_path, f"sqlite:///{tmp_path / 'other.db'}").state == "ok"


def test_a_port_that_speaks_no_http_is_no_tracking_server(tmp_path: Path) -> None:
    with no_http() as port:
        finding = mlflow(tmp_path, f"http://127.0.0.1:{port}")
    assert (finding.state, "answers, but not as a tracking server does" in finding.text) == ("wrong", True)


def test_a_tracking_server_with_another_time_or_an_error_is_told(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "date", "Mon, 01 Jan 2001 00:00:00 GMT")
    assert "behind" in mlflow(tmp_path, server).text
    monkeypatch.setattr(Answering, "code", 500)
    assert "answers with 500" in mlflow(tmp_path, server).text
    monkeypatch.setattr(Answering, "date", "")
    monkeypatch.setattr(Answering, "code", 401)
    refused = mlflow(tmp_path, server)
    assert (refused.state, "MLFLOW_TRACKING_USERNAME" in refused.text) == ("wrong", True)
