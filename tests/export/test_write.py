import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import neurosearch
from neurosearch.export.errors import ExportError
from neurosearch.export.freeze import Deployed
from neurosearch.export.predict import OnnxNetwork
from neurosearch.export.rebuild import load_network
from neurosearch.export.verify import FORMATS, TOLERANCE
from neurosearch.export.write import export_network

NAMES = ["cnn-HWC-resized", "cnn-CHW", "cnn-HW", "mlp-features", "mlp-HW-resized"]


@pytest.mark.parametrize("name", NAMES)
def test_all_files_give_the_networks_outputs_on_the_test_part(name, cases, exported, build_model):
    data, network, _ = cases[name]
    raw = np.array(data.raw_test().x)
    with torch.no_grad():
        expected = Deployed(data.preprocess(), network, data.postprocess())(torch.from_numpy(raw)).numpy()
        rebuilt, _ = load_network(exported[name].folder, build_model)
        found = {
            "pt2": torch.export.load(exported[name].files["pt2"]).module()(torch.from_numpy(raw)).numpy(),
            "onnx": OnnxNetwork(exported[name].files["onnx"]).run(raw),
            "safetensors": rebuilt(torch.from_numpy(raw)).numpy(),
        }
    for logits in found.values():
        assert np.array_equal(logits.argmax(1), expected.argmax(1))
        assert np.abs(logits - expected).max() <= TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_what_is_returned_is_what_a_signature_needs(name, cases, exported):
    data, result = cases[name][0], exported[name]
    assert result.input_example.shape == (2, *data.manifest.raw_shape)
    assert result.input_example.dtype == data.manifest.dtype
    assert result.output_example.shape == (2, 3)
    assert set(result.files) == set(result.differences) == set(FORMATS)
    assert all(difference.largest <= TOLERANCE and not difference.changed for difference in result.differences.values())
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "network.json",
        "network.onnx",
        "network.pt2",
        "network.safetensors",
    ]


def test_the_onnx_file_says_what_it_reads_and_has_a_free_batch_axis(cases, exported):
    session = onnxruntime.InferenceSession(exported["cnn-HWC-resized"].files["onnx"])
    stored = session.get_modelmeta().custom_metadata_map
    assert stored["class_names"].split("\n") == ["cat", "dog, small", "eel"]
    assert (stored["layout"], stored["dtype"]) == ("HWC", "uint8")
    assert stored["data_hash"] == cases["cnn-HWC-resized"][0].manifest.data_hash
    [raw], [logits] = session.get_inputs(), session.get_outputs()
    assert (raw.name, raw.type, raw.shape) == ("raw", "tensor(uint8)", ["batch", 9, 8, 3])
    assert (logits.name, logits.shape) == ("logits", ["batch", 3])


def test_the_structure_beside_the_weights_says_what_built_the_network(exported):
    card = json.loads((exported["mlp-features"].folder / "network.json").read_text())
    assert card["model"] == {"kind": "mlp", "widths": [8, 5], "activation": "gelu"}
    assert card["structure"] is None
    assert card["class_names"] == ["cat", "dog, small", "eel"]
    assert (card["layout"], card["dtype"], card["raw_shape"]) == ("features", "float32", [7])


def test_no_file_tells_of_the_machine_it_was_made_on(exported):
    here = str(Path(neurosearch.__file__).parent.parent).encode()
    for path in exported["cnn-HWC-resized"].files.values():
        assert here not in path.read_bytes(), path.name


def test_the_same_network_gives_the_same_bytes(cases, exported, build_model, tmp_path):
    data, network, model = cases["cnn-HW"]
    export_network(network, model, None, data, build_model, tmp_path / "export", tmp_path / "log")
    for path in exported["cnn-HW"].folder.iterdir():
        assert (tmp_path / "export" / path.name).read_bytes() == path.read_bytes()


def test_nothing_reaches_the_screen(cases, build_model, tmp_path, capfd):
    data, network, model = cases["cnn-HW"]
    export_network(network, model, None, data, build_model, tmp_path / "export", tmp_path / "log")
    assert capfd.readouterr() == ("", "")


def test_an_earlier_export_is_replaced_as_a_whole(cases, build_model, tmp_path):
    data, network, model = cases["mlp-features"]
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "old").write_text("old")
    export_network(network, model, None, data, build_model, tmp_path / "export", tmp_path / "log", ["safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "log"]
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == ["network.json", "network.safetensors"]


class Branching(nn.Module):
    """A network that no exporter can trace, since its path depends on its values."""

    def forward(self, x):
        return x[:, :3] * (1 if x.sum() > 0 else 2)


class Noisy(nn.Module):
    """A network that gives other outputs each time it runs."""

    def forward(self, x):
        return x[:, :3] + torch.rand_like(x[:, :3])


@pytest.mark.parametrize(
    ("network", "formats", "message"),
    [
        (Branching(), ["pt2"], "cannot be written as pt2"),
        (Branching(), ["onnx"], "cannot be written as onnx"),
        (Noisy(), ["pt2"], r"network\.pt2 does not give what the network gives"),
    ],
)
def test_what_does_not_agree_is_not_exported_and_the_earlier_export_stays(
    network, formats, message, cases, build_model, tmp_path
):
    data = cases["mlp-features"][0]
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "old").write_text("old")
    with pytest.raises(ExportError, match=message):
        export_network(network, {}, None, data, build_model, tmp_path / "export", tmp_path / "log", formats)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "log"]
    assert (tmp_path / "export" / "old").read_text() == "old"


def test_a_full_disk_is_said_as_such(cases, build_model, tmp_path, monkeypatch):
    def fill_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurosearch.export.write.save_file", fill_disk)
    data, network, model = cases["mlp-features"]
    with pytest.raises(OSError, match="No space left"):
        export_network(network, model, None, data, build_model, tmp_path / "export", tmp_path / "log", ["safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]
