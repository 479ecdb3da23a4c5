import csv
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from neurosearch.export.errors import PredictError
from neurosearch.export.freeze import Deployed
from neurosearch.export.predict import OnnxNetwork, predict


@pytest.fixture
def raw_npz(cases, tmp_path):
    np.savez(tmp_path / "raw.npz", x=cases["cnn-HWC-resized"][0].raw_test().x)
    return tmp_path / "raw.npz"


def test_predictions_are_the_networks_probabilities(cases, exported, raw_npz):
    data, network, _ = cases["cnn-HWC-resized"]
    with torch.no_grad():
        logits = Deployed(data.preprocess(), network, data.postprocess())(torch.tensor(data.raw_test().x))
    found = predict(exported["cnn-HWC-resized"].files["onnx"], raw_npz)
    np.testing.assert_allclose(found.probabilities, logits.softmax(1).numpy(), atol=1e-6)
    assert found.probabilities.sum(1) == pytest.approx(1, abs=1e-6)
    assert found.classes == tuple(found.class_names[label] for label in logits.argmax(1).tolist())
    assert (len(found.names), found.warnings) == (30, ())


def test_a_folder_gives_what_the_array_gives(cases, exported, raw_npz, tmp_path):
    for row, pixels in enumerate(cases["cnn-HWC-resized"][0].raw_test().x):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.array(pixels)).save(tmp_path / "images" / f"{row:02}.png")
    network = exported["cnn-HWC-resized"].files["onnx"]
    from_folder = predict(network, tmp_path / "images")
    assert np.array_equal(from_folder.probabilities, predict(network, raw_npz).probabilities)
    assert from_folder.names[3] == "03.png"


def test_a_table_names_every_class(exported, raw_npz, tmp_path):
    found = predict(exported["cnn-HWC-resized"].files["onnx"], raw_npz)
    found.save(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    names = ["cat", "dog, small", "eel"]
    assert header == ["name", "class", *(f"probability of {name}" for name in names)]
    assert [row[1] for row in rows] == list(found.classes)
    assert np.array([row[2:] for row in rows], float) == pytest.approx(found.probabilities, rel=1e-5)


def test_an_archive_holds_the_same(exported, raw_npz, tmp_path):
    found = predict(exported["cnn-HWC-resized"].files["onnx"], raw_npz)
    found.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as stored:
        assert np.array_equal(stored["probabilities"], found.probabilities)
        assert stored["classes"].tolist() == list(found.classes)
        assert stored["class_names"].tolist() == list(found.class_names)
        assert stored["names"].tolist() == list(found.names)


def test_another_ending_is_refused(exported, raw_npz, tmp_path):
    with pytest.raises(PredictError, match=r"neither \.csv nor \.npz"):
        predict(exported["cnn-HWC-resized"].files["onnx"], raw_npz).save(tmp_path / "out.txt")


def test_pixels_on_another_scale_are_warned_of(exported, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((2, 8, 8), 255, np.uint8))
    network = exported["cnn-HW"].files["onnx"]
    assert predict(network, tmp_path / "a.npz").warnings == ()  # trained on values up to about 200
    model = onnx.load(network)
    for entry in model.metadata_props:
        entry.value = entry.value.replace(str(OnnxNetwork(network).card.value_range[1]), "16.0")
    onnx.save(model, tmp_path / "small.onnx")
    [warning] = predict(tmp_path / "small.onnx", tmp_path / "a.npz").warnings
    assert "values up to 255, but the network was trained on values up to 16" in warning


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"broken")
    with pytest.raises(PredictError, match="cannot be read as an ONNX file"):
        OnnxNetwork(tmp_path / "a.onnx")
    with pytest.raises(PredictError, match=r"there is no file .*none\.onnx.* runs/NAME/export"):
        OnnxNetwork(tmp_path / "none.onnx")


def test_an_onnx_file_of_others_is_refused(exported, tmp_path):
    model = onnx.load(exported["cnn-HW"].files["onnx"])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(PredictError, match="does not say how to read raw examples"):
        OnnxNetwork(tmp_path / "a.onnx")


def test_prediction_needs_no_torch():
    code = "import sys, neurosearch.export.predict; sys.exit('torch' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
