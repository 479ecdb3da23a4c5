"""The registered network answers requests: MLflow's own server, started as a user starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neurosearch.tracking.models import NetworkFiles, log_model
from neurosearch.tracking.store import Store, connect, experiment_id

pytestmark = [pytest.mark.servers, pytest.mark.slow]
_SECONDS = 120


@pytest.fixture
def registered(embedded: Store, tmp_path: Path) -> Store:
    """A store with a network that doubles its four inputs."""
    raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["batch", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Add", ["raw", "raw"], ["logits"])], "network", [raw], [logits])
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    example = np.arange(8, dtype=np.float32).reshape(2, 4)
    client = connect(embedded)
    run_id = client.create_run(experiment_id(client, embedded, "digits"), run_name="trial").info.run_id
    files = NetworkFiles(path, (), example, 2 * example, "logits", "# card", {}, {})
    log_model(embedded, "digits", run_id, 7, files, {}, is_best=True)
    return embedded


def ask(port: int, path: str, body: str | None = None) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def until_up(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if ask(port, "/ping")[0] == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.1)


def test_a_registered_network_is_served_and_answers_a_request(registered: Store, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = ["models", "serve", "-m", "models:/digits@best", "--env-manager", "local", "--host", "127.0.0.1"]
    log, programs = tmp_path / "serve.log", tmp_path / "bin"
    programs.mkdir()
    (programs / "uvicorn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uvicorn "$@"\n')  # on an activated PATH
    (programs / "uvicorn").chmod(0o755)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, "--port", str(port), "--workers", "1"],
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_TRACKING_URI": registered.uri, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until_up(port, process, log)
        status, answer = ask(port, "/invocations", json.dumps({"inputs": [[1.0, 2.0, 3.0, 4.0]]}))
        assert status == 200, answer
        assert json.loads(answer) == {"predictions": {"logits": [[2.0, 4.0, 6.0, 8.0]]}}
        status, answer = ask(port, "/invocations", json.dumps({"inputs": [[1.0, 2.0]]}))
        assert status == 400, "what does not fit the signature is refused"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
