"""As whom a tracking server sees us, without MLflow: two plain servers on loopback answer what they were asked with."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurosearch.tracking.login import refusal
from tests.no_http import no_http

LOGIN = f"Basic {base64.b64encode(b'ann:tiger').decode()}"
Answer = Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str]]]


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """A server on loopback that answers as it is told; yields its port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, headers = answer(self)
            self.send_response(code)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home folder, in which nothing is said about a login."""
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("home")
def test_a_port_where_no_http_is_spoken_is_told_in_words() -> None:
    with no_http() as port:
        told = refusal(f"http://127.0.0.1:{port}")
    assert told == f"http://127.0.0.1:{port} answers, but not as a tracking server does. Mend the address."


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("host", "login"), [("localhost", None), ("127.0.0.1", LOGIN)])
def test_a_server_that_sends_us_elsewhere_takes_our_login_to_no_other_host(
    monkeypatch: pytest.MonkeyPatch, host: str, login: str | None
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "tiger")
    seen: list[str | None] = []

    def other(asked: BaseHTTPRequestHandler) -> tuple[int, dict[str, str]]:
        seen.append(asked.headers.get("Authorization"))
        return 200, {}

    with ExitStack() as servers:
        there = servers.enter_context(answering(other))
        first = servers.enter_context(answering(lambda _: (302, {"Location": f"http://{host}:{there}/"})))
        assert refusal(f"http://127.0.0.1:{first}") is None
    assert seen == [login]


def test_a_login_that_mlflows_client_finds_in_its_file_is_ours(home: Path) -> None:
    def asking(asked: BaseHTTPRequestHandler) -> tuple[int, dict[str, str]]:
        return (200 if asked.headers.get("Authorization") == LOGIN else 401), {}

    with answering(asking) as port:
        assert "asks for a name and a password" in (refusal(f"http://127.0.0.1:{port}") or "")
        (home / ".mlflow").mkdir()
        file = home / ".mlflow" / "credentials"
        file.write_text("[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = tiger\n")
        assert refusal(f"http://127.0.0.1:{port}") is None
        file.write_text("[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = lion\n")
        assert "refuses the name or the password" in (refusal(f"http://127.0.0.1:{port}") or "")
