import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from ruamel.yaml import YAML

from neurosearch.tracking.models import NetworkFiles, log_model
from neurosearch.tracking.store import Store, StoreError, choose_store, connect, experiment_id

ABOUT = (
    "# digits: the network of trial 7",
    {"accuracy": 0.75, "test/accuracy": 0.7, "neurons/body.0": 8.0},
    {"widths": {"body.0": 8}, "seed": 3},
)


@pytest.fixture
def network(tmp_path: Path) -> NetworkFiles:
    """A network that doubles its four inputs, of the raw type uint8."""
    raw = helper.make_tensor_value_info("raw", TensorProto.UINT8, ["batch", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    nodes = [
        helper.make_node("Cast", ["raw"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["values", "values"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "network", [raw], [logits])
    path, card = tmp_path / "network.onnx", tmp_path / "network.json"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    card.write_text("{}")
    example = np.arange(8, dtype=np.uint8).reshape(2, 4)
    return NetworkFiles(path, (card,), example, 2 * example.astype(np.float32), "logits", *ABOUT)


@pytest.fixture
def run_ids(embedded: Store) -> tuple[str, str]:
    client = connect(embedded)
    experiment = experiment_id(client, embedded, "digits")
    study, trial = (client.create_run(experiment, run_name=name).info.run_id for name in ("study", "trial"))
    return study, trial


def yaml_of(model):
    from mlflow.artifacts import load_text

    return YAML(typ="safe").load(load_text(f"{model.artifact_location}/MLmodel"))


def test_a_network_is_registered_under_its_study_and_predicts(embedded, network, run_ids, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    logged = log_model(embedded, "digits", run_ids[1], 7, network, {"neurosearch.parameters": "20"}, is_best=True)
    assert (logged.name, logged.version, logged.uri, logged.is_new) == ("digits", 1, "models:/digits/1", True)
    assert {*tmp_path.iterdir()} == before, "nothing may be left where the user works"
    assert capfd.readouterr() == ("", "")

    import mlflow

    default = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(embedded.uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/digits@best")
    finally:
        mlflow.set_tracking_uri(default)
    np.testing.assert_array_equal(loaded.predict(network.input_example)["logits"], network.output_example)
    signature = loaded.metadata.signature.to_dict()
    assert signature["inputs"] == '[{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 4]}}]'
    assert '"name": "logits"' in signature["outputs"]


def test_a_registered_network_says_where_it_comes_from(embedded, network, run_ids):
    trial_run = run_ids[1]
    log_model(embedded, "digits", trial_run, 7, network, {"neurosearch.parameters": "20"}, is_best=True)
    client = connect(embedded)
    made = client.get_model_version("digits", "1")
    tags = made.tags
    assert len(tags.pop("neurosearch.onnx_sha256")) == 64
    assert tags == {"neurosearch.parameters": "20", "neurosearch.study": "digits", "neurosearch.trial": "7"}
    assert made.run_id == trial_run
    assert made.description == network.card
    [output] = client.get_run(trial_run).outputs.model_outputs
    link = client.get_logged_model(output.model_id).tags["mlflow.modelVersions"]
    assert json.loads(link) == [{"name": "digits", "version": 1}]
    files = {file.path for file in client.list_logged_model_artifacts(output.model_id)}
    assert {"MLmodel", "model.onnx", "requirements.txt", "extra_files", "input_example.json"} <= files
    extra = {Path(file.path).name for file in client.list_logged_model_artifacts(output.model_id, "extra_files")}
    assert extra == {"network.json", "MODEL_CARD.md"}
    model = client.get_logged_model(output.model_id)
    assert {each.key: each.value for each in model.metrics} == {
        "exported/accuracy": 0.75,
        "exported/test/accuracy": 0.7,
        "exported/neurons/body.0": 8.0,
    }
    assert yaml_of(model)["metadata"] == {"widths": {"body.0": 8}, "seed": 3}
    assert not {path for path in embedded.artifacts.rglob("*") if path.suffix in {".pkl", ".pickle", ".pth"}}


def test_the_same_network_is_registered_once_and_another_as_the_next_version(embedded, network, run_ids):
    log_model(embedded, "digits", run_ids[1], 7, network, {}, is_best=True)
    again = log_model(embedded, "digits", run_ids[1], 7, network, {}, is_best=True)
    assert (again.version, again.is_new) == (1, False)
    model = onnx.load(network.onnx)
    model.doc_string = "another"
    onnx.save(model, network.onnx)
    other = log_model(embedded, "digits", run_ids[1], 7, network, {}, is_best=True)
    assert (other.version, other.is_new) == (2, True)
    assert int(connect(embedded).get_model_version_by_alias("digits", "best").version) == 2


def test_only_the_best_network_is_the_best_one(embedded, network, run_ids):
    log_model(embedded, "digits", run_ids[0], 3, network, {}, is_best=True)
    log_model(embedded, "digits", run_ids[1], 7, network, {}, is_best=False)
    client = connect(embedded)
    assert {int(each.version) for each in client.search_model_versions("name = 'digits'")} == {1, 2}
    assert int(client.get_model_version_by_alias("digits", "best").version) == 1


def test_a_server_that_is_down_is_named_and_the_files_are_not_lost(network, tmp_path):
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9 does not take the network of trial 7: .*export again"):
        log_model(choose_store(tmp_path, "http://127.0.0.1:9"), "digits", "1" * 32, 7, network, {}, is_best=True)
    assert network.onnx.exists()
