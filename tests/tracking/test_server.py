"""Against a real tracking server on this machine, that goes away and comes back."""

import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neurosearch.search.outcome import TrialOutcome
from neurosearch.search.seams import StudyInfo, TrialInfo
from neurosearch.tracking.mlflow_tracker import MlflowTracker
from neurosearch.tracking.models import NetworkFiles, log_model
from neurosearch.tracking.store import choose_store, connect
from neurosearch.tracking.sync import sync
from neurosearch.tracking.values import TrialHistory
from tests.mlflow_server import Server

pytestmark = [pytest.mark.servers, pytest.mark.slow]

STUDY = StudyInfo("digits", {"name": "digits"}, 3, "accuracy", None)
FINISHED = TrialOutcome("finished", None, {"accuracy": 0.3}, 3, 10.0, ())


class LossyProxy(ThreadingHTTPServer):
    """Passes calls on to a server, but loses the answers of the first ones to some paths."""

    def __init__(self, target: int, lose: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), PassOn)
        self.target = target
        self.lose = lose
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"


class PassOn(BaseHTTPRequestHandler):
    server: LossyProxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        target.request(self.command, self.path, body, headers)
        answer = target.getresponse()
        content = answer.read()
        target.close()
        end = self.path.rsplit("/", 1)[-1]
        if self.server.lose.get(end, 0) > 0:
            self.server.lose[end] -= 1
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815  # names of http.server

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.kill()


def trial(number: int) -> TrialInfo:
    return TrialInfo(number, "search", {"growth": {"kind": "static"}}, {"training.epochs": 3}, (3,), {}, None)


def record(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "step": epoch, "metrics": {"accuracy": epoch / 10}, "events": [], "at_rest": True}


def until_known(tracker: MlflowTracker) -> dict[int, str]:
    deadline = time.monotonic() + 30
    while not (known := dict(tracker.run_ids())):
        assert time.monotonic() < deadline, "no run id came"
        time.sleep(0.05)
    return known


def test_a_server_that_goes_away_and_comes_back_misses_and_doubles_nothing(server, tmp_path):
    store = choose_store(tmp_path, server.uri)
    tracker = MlflowTracker(store, "down and up", tmp_path, gather_seconds=0.01)
    tracker.start_study(STUDY)
    tracker.start_trial(trial(0))
    tracker.log(0, [record(1)])
    first = until_known(tracker)
    server.kill()
    begun = time.monotonic()
    tracker.log(0, [record(2)])
    tracker.end_trial(0, FINISHED, feasible=True)
    tracker.start_trial(trial(1))
    tracker.log(1, [record(1), record(2)])
    assert time.monotonic() - begun < 0.5
    time.sleep(1)  # some attempts fail
    server.start()
    assert tracker.close(60) == 0

    client = connect(store)
    experiment = client.get_experiment_by_name("down and up")
    found = {run.info.run_name.partition(",")[0]: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in found.items()} == {
        "digits": "KILLED",
        "00000 static": "FINISHED",
        "00001 static": "KILLED",
    }
    assert found["00000 static"].info.run_id == first[0]
    for run in (found["00000 static"], found["00001 static"]):
        assert [each.step for each in client.get_metric_history(run.info.run_id, "accuracy")] == [1, 2]
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["config.json"]

    histories = [TrialHistory(trial(number), 0, [record(1), record(2)], None) for number in range(2)]
    assert sync(store, "down and up", tmp_path, STUDY, histories, running=True).written == 0


def test_calls_whose_answer_is_lost_are_not_doubled(server, tmp_path):
    # The experiment and three runs, two batches of metrics, and an end.
    with LossyProxy(server.port, {"create": 4, "log-batch": 2, "update": 1}) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        store = choose_store(tmp_path, proxy.uri)
        tracker = MlflowTracker(store, "lossy", tmp_path, gather_seconds=0.01)
        tracker.start_study(STUDY)
        for number in range(2):
            tracker.start_trial(trial(number))
            tracker.log(number, [record(1), record(2)])
            tracker.end_trial(number, FINISHED, feasible=True)
        assert tracker.close(90) == 0
        assert {*proxy.lose.values()} == {0}
        proxy.shutdown()
    client = connect(choose_store(tmp_path, server.uri))
    found = client.search_runs([client.get_experiment_by_name("lossy").experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in found) == [
        ("00000 static, 0.3000", "FINISHED"),
        ("00001 static, 0.3000", "FINISHED"),
        ("digits", "FINISHED"),
    ]
    for run in found:
        steps = [each.step for each in client.get_metric_history(run.info.run_id, "accuracy")]
        assert steps == ([] if run.info.run_name == "digits" else [1, 2])


def test_a_network_is_registered_on_a_server_and_predicts_from_there(server, tmp_path):
    store = choose_store(tmp_path, server.uri)
    tracker = MlflowTracker(store, "models", tmp_path, gather_seconds=0.01)
    tracker.start_study(STUDY)
    tracker.start_trial(trial(0))
    assert tracker.close(120) == 0
    [run_id] = tracker.run_ids().values()
    raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["batch", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Neg", ["raw"], ["logits"])], "network", [raw], [logits])
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    example = np.arange(8, dtype=np.float32).reshape(2, 4)
    files = NetworkFiles(path, (), example, -example, "logits", "# card", {"accuracy": 0.3}, {"widths": {"body": 8}})
    logged = log_model(store, "digits", run_id, 0, files, {}, is_best=True)

    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.uri)
    try:
        loaded = mlflow.pyfunc.load_model(logged.uri)
    finally:
        mlflow.set_tracking_uri(before)
    np.testing.assert_array_equal(loaded.predict(example)["logits"], -example)
