import csv
import json
import os

import numpy as np
import onnx
import pytest
import torch

from neurosearch.data.npz import NpzSource
from neurosearch.data.prepared import prepare
from neurosearch.data.selection import PrepareSettings
from neurosearch.export.errors import PredictError
from neurosearch.export.predict import OnnxNetwork, predict
from neurosearch.export.predictions import Quantities, check_place
from neurosearch.export.rebuild import CARD_NAME, load_network
from neurosearch.export.write import export_network

MODEL = {"kind": "mlp", "widths": [8, 5], "activation": "gelu"}
NAMES = ["year", "length"]


@pytest.fixture(scope="module")
def regression(build_model, tmp_path_factory):
    """Return (prepared data, network from normalised inputs to standardised targets, its export)."""
    folder = tmp_path_factory.mktemp("regression")
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = np.stack([2000 + 3 * x[:, 0], 1e-4 * x[:, 1] * x[:, 2]], 1)
    arrays = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    np.savez(folder / "own.npz", **arrays, target_names=np.array(NAMES))
    source = NpzSource(folder / "own.npz", "auto", None, "regression")
    data = prepare(PrepareSettings(None, 0.25, 0, None), source, folder / "data")
    torch.manual_seed(0)
    network = build_model(MODEL, data.manifest.input_shape, data.manifest.num_outputs)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    inputs, targets = torch.tensor(data.train().x), torch.tensor(data.train().y)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
    exported = export_network(network, MODEL, None, data, build_model, folder / "export", folder / "log")
    return data, network.eval(), exported


def expected(data, network, raw):
    """Return what the trained network says, brought to the user's units in float64, outside any graph."""
    with torch.no_grad():
        standardised = network(data.preprocess()(torch.tensor(raw))).numpy().astype(np.float64)
    return standardised * np.array(data.manifest.targets.std) + data.manifest.targets.mean


def check_units(found, truth, data):
    deviations = np.array(data.manifest.targets.std)
    rounding = np.finfo(np.float32).eps * np.abs(truth).max(0)
    assert (np.abs(found - truth) <= 1e-5 * deviations + 2 * rounding).all()


@pytest.mark.parametrize("name", ["pt2", "onnx", "safetensors"])
def test_every_file_gives_what_the_network_gives_in_the_users_units(name, regression, build_model):
    data, network, exported = regression
    raw = np.array(data.raw_test().x)
    with torch.inference_mode():
        match name:
            case "pt2":
                found = torch.export.load(exported.files["pt2"]).module()(torch.tensor(raw)).numpy()
            case "onnx":
                found = OnnxNetwork(exported.files["onnx"]).run(raw)
            case "safetensors":
                found = load_network(exported.folder, build_model)[0](torch.tensor(raw)).numpy()
    check_units(found, expected(data, network, raw), data)
    assert np.abs(found[:, 0] - 2000).max() < 100, "years, and not deviations"


def test_card_and_onnx_file_state_the_scaling_and_name_the_outputs(regression):
    data, _, exported = regression
    card = json.loads((exported.folder / CARD_NAME).read_text())
    assert card["targets"]["names"] == NAMES
    assert card["targets"]["mean"] == list(data.manifest.targets.mean)
    assert card["targets"]["std"] == list(data.manifest.targets.std)
    model = onnx.load(exported.files["onnx"])
    assert [output.name for output in model.graph.output] == [exported.card.output_name] == ["values"]
    assert {entry.key: entry.value for entry in model.metadata_props}["target_names"] == "year\nlength"
    assert exported.output_example.shape == (2, 2)


def test_predictions_are_quantities_under_their_names(regression, tmp_path):
    data, network, exported = regression
    raw = np.array(data.raw_test().x)
    np.savez(tmp_path / "x.npz", x=raw)
    found = predict(exported.files["onnx"], tmp_path / "x.npz")
    assert isinstance(found, Quantities)
    check_units(found.values, expected(data, network, raw), data)
    first = found.facts()["predictions"][0]
    assert (first["name"], first["values"]["year"]) == ("0", pytest.approx(float(found.values[0, 0])))
    lines = list(found.lines(3))
    assert len(lines) == 3
    assert lines[0].startswith("0: year ")
    assert ", length " in lines[0]


def test_files_of_quantities_hold_a_column_for_each_target(tmp_path):
    found = Quantities(("a", "b"), ("year", "length"), np.array([[2000.5, 1e-5], [1999.0, 2e-5]], np.float32), ())
    found.save(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "year", "length"]
    assert [row[0] for row in rows] == ["a", "b"]
    assert np.array([row[1:] for row in rows], float) == pytest.approx(found.values, rel=1e-7)
    found.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as stored:
        assert np.array_equal(stored["values"], found.values)
        assert stored["target_names"].tolist() == ["year", "length"]
    with pytest.raises(PredictError, match="there is no folder"):
        found.save(tmp_path / "absent" / "out.csv")
    with pytest.raises(PredictError, match="neither .csv nor .npz"):
        found.save(tmp_path / "out.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(PredictError, match=r"folder\.csv is a folder"):
        check_place(tmp_path / "folder.csv")


def test_a_name_that_is_no_utf8_stands_in_the_table_which_is(tmp_path):
    found = Quantities((os.fsdecode(b"\xff.png"),), ("y",), np.ones((1, 1), np.float32), ())
    found.save(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == b"name,y\r\n\\udcff.png,1\r\n"
