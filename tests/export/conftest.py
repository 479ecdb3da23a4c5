import numpy as np
import pytest
import torch
from torch import nn

from neurosearch.data.arrays import RawArrays
from neurosearch.data.prepared import prepare
from neurosearch.data.selection import PrepareSettings
from neurosearch.export.write import export_network
from neurosearch.models.cnn import Cnn, CnnShape
from neurosearch.models.mlp import Mlp, MlpShape

NAMES = ("cat", "dog, small", "eel")


class RandomSource:
    """Random raw examples of any layout, in three classes that differ in brightness."""

    def __init__(self, layout, raw_shape, dtype="uint8"):
        self._made_of = (layout, raw_shape, dtype)

    def identity(self):
        return str(self._made_of)

    def load(self):
        layout, raw_shape, dtype = self._made_of
        y = np.arange(90) % 3
        noise = np.random.default_rng(0).integers(0, 100, (90, *raw_shape))
        x = (noise + 50 * y.reshape(-1, *([1] * len(raw_shape)))).astype(dtype)
        return RawArrays(x[:60], y[:60], x[60:], y[60:], NAMES, layout, 255.0 if dtype == "uint8" else 1.0)


def build(model, input_shape, num_outputs):
    """Build the networks of these tests from the model section of a card."""
    widths = tuple(model["widths"])
    if model["kind"] == "cnn":
        return Cnn(CnnShape(tuple(input_shape), widths, num_outputs, 0.1))
    return Mlp(MlpShape(tuple(input_shape), widths, num_outputs, model["activation"], "batch", 0.1))


def train(network, x, y, steps=15):
    """Move batch norm statistics and weights away from where they start."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(network(torch.tensor(x)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


CNN = {"kind": "cnn", "widths": [4, 6]}
MLP = {"kind": "mlp", "widths": [8, 5], "activation": "gelu"}
CASES = {
    "cnn-HWC-resized": (CNN, ("HWC", (9, 8, 3)), (6, 12)),
    "cnn-CHW": (CNN, ("CHW", (3, 8, 8)), None),
    "cnn-HW": (CNN, ("HW", (8, 8)), None),
    "mlp-features": (MLP, ("features", (7,), "float32"), None),
    "mlp-HW-resized": (MLP, ("HW", (5, 6), "uint8"), (4, 4)),
}


def make_case(name, folder):
    """Return (prepared data, trained network, its model section)."""
    torch.manual_seed(0)
    model, source, resize = CASES[name]
    data = prepare(PrepareSettings(None, 0.25, 0, resize), RandomSource(*source), folder)
    network = build(model, data.manifest.input_shape, 3)
    return data, train(network, data.train().x, data.train().y), model


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """Every case, trained once."""
    folder = tmp_path_factory.mktemp("data")
    return {name: make_case(name, folder) for name in CASES}


@pytest.fixture(scope="session")
def build_model():
    """What rebuilds a base network from a card."""
    return build


@pytest.fixture(scope="session")
def exported(cases, build_model, tmp_path_factory):
    """Every case, exported once."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: export_network(network, model, None, data, build_model, folder / name, folder / "log")
        for name, (data, network, model) in cases.items()
    }
