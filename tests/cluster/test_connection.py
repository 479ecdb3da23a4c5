"""Being let in: by the real head, through TLS, and refused with a remedy wherever something does not fit."""

import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata

import pytest

from neurosearch.cli.outage import is_outage
from neurosearch.cluster.connection import connect
from neurosearch.cluster.errors import ClusterAway, ClusterError
from tests.no_http import no_http
from tests.s3 import free_port, make_certificate

RAY = metadata.version("ray")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch, tmp_path):
    """Leaves this process without a token, and with addresses of other clusters that must not count."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")


@contextmanager
def answering(answers, certificate=None, key=None):
    """A server with these JSON answers by path, 404 for others: a dashboard of another Ray, or no dashboard."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = answers.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *words):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def refusal(url):
    with pytest.raises(ClusterError) as refused:
        connect(url)
    return str(refused.value)


def dashboard(ray, python="3.11.7", mode="disabled"):
    return {
        "/api/authentication_mode": {"authentication_mode": mode},
        "/api/version": {"version": "4", "ray_version": ray, "ray_commit": "", "session_name": ""},
        "/api/v0/cluster_metadata": {"data": {"rayVersion": ray, "pythonVersion": python}},
    }


@pytest.mark.ray
def test_a_member_is_let_in_whatever_other_addresses_the_environment_holds(ray_cluster, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster.token)
    server = connect(f"{ray_cluster.url}/")
    assert server.versions().ray == RAY
    (node,) = server.nodes()
    assert (node.cpus, node.gpus) == (2.0, 0.0)


@pytest.mark.ray
def test_the_token_may_come_from_a_file(ray_cluster, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(f"{ray_cluster.token}\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert connect(ray_cluster.url).versions().ray == RAY


@pytest.mark.ray
def test_without_a_token_and_with_a_wrong_one_it_is_said_where_to_put_it(ray_cluster, monkeypatch):
    assert refusal(ray_cluster.url) == (
        f"the cluster at {ray_cluster.url} wants a token, and there is none here. Set RAY_AUTH_TOKEN, or "
        "RAY_AUTH_TOKEN_PATH with the file that holds it, in the environment here."
    )
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-last-week")
    text = refusal(ray_cluster.url)
    assert "refuses the token from RAY_AUTH_TOKEN: it is wrong, or was changed there since. Put the cluster's" in text
    assert "of-last-week" not in text


@pytest.mark.parametrize("ray", ["2.40.0", "3.1.0"])
def test_another_ray_on_the_cluster_is_named_beside_ours(ray):
    with answering(dashboard(ray)) as url:
        text = refusal(url)
    assert text == (
        f"the cluster at {url} runs Ray {ray}, and here is Ray {RAY}. Install ray=={ray} here, or start the cluster "
        f"with Ray {RAY}."
    )


def test_a_ray_of_before_tokens_is_named_beside_ours():
    with answering({"/api/version": {"ray_version": "2.9.3"}}) as url:
        assert f"runs Ray 2.9.3, and here is Ray {RAY}" in refusal(url)


def test_a_python_that_is_too_old_is_named():
    with answering(dashboard(RAY, python="3.9.18")) as url:
        assert "runs Python 3.9.18, and neurosearch needs 3.11 or newer" in refusal(url)


def test_what_is_no_dashboard_is_told_from_one():
    with answering({"/": {"hello": "world"}}) as url:
        assert "answers, but not as a Ray dashboard does" in refusal(url)
    with no_http() as port:  # Ray's own, most likely
        assert "answers, but not as a Ray dashboard does" in refusal(f"http://127.0.0.1:{port}")


def test_where_nobody_listens_it_is_said_what_to_start():
    url = f"http://127.0.0.1:{free_port()}"
    assert refusal(url) == (
        f"no job server answers at {url}: Connection refused. Start the cluster (`ray start --head`), open the tunnel "
        "to it, or mend the address."
    )
    assert "no job server answers at http://no-such-host.invalid:8265" in refusal("http://no-such-host.invalid:8265")


def test_all_of_a_package_goes_up_whatever_its_folders_are_called(monkeypatch, tmp_path):
    with answering(dashboard(RAY)) as url:
        server = connect(url)
    from ray._private import ray_constants

    left_out = []
    monkeypatch.setattr(
        server._client, "submit_job", lambda **_: left_out.append(ray_constants.get_runtime_env_default_excludes())
    )
    server.submit("true", "a-1", {}, tmp_path)
    assert left_out == [[]]


def test_a_cluster_that_answers_no_more_is_away_and_no_mistake_of_who_typed():
    with answering(dashboard(RAY)) as url:
        server = connect(url)
    with pytest.raises(ClusterAway, match="stopped answering") as lost:
        server.nodes()
    assert is_outage(lost.value)
    assert not is_outage(ClusterError("no job server answers"))


def test_a_cluster_that_anybody_may_use_is_refused_from_afar(monkeypatch):
    with answering(dashboard(RAY)) as url:
        assert connect(url).versions().ray == RAY
        afar = url.replace("127.0.0.1", "0.0.0.0")
        assert "takes jobs from anybody who reaches it. Start its nodes with RAY_AUTH_MODE=token" in refusal(afar)


def test_a_certificate_is_checked_and_ones_own_authority_is_believed(monkeypatch, tmp_path):
    certificate, key = make_certificate(tmp_path)
    with answering(dashboard(RAY), certificate, key) as url:
        assert "is not trusted: self-signed certificate. Name the authority that signed it in SSL_CERT_FILE" in refusal(
            url
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert connect(url).address.is_encrypted
    with answering(dashboard(RAY)) as url:
        assert "does not speak TLS: write http://" in refusal(url.replace("http://", "https://"))
