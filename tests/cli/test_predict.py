"""From quantities in an npz to quantities for new examples, as a user goes: search, then predict, as processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TEXT = """\
name: heights
data: {kind: npz, path: own.npz, task: regression}
model: {kind: mlp, widths: [8]}
training: {epochs: 6, batch_size: 16, loss: huber, learning_rate: {search: log_uniform, low: 1e-2, high: 3e-2}}
growth:
  search: one_of
  options:
    - {kind: periodic, importance: taylor, period_epochs: 2, grown_epochs: 1}
    - {kind: nimble}
search: {trials: 2, sampler: random, finalists: 0, objectives: [{metric: rmse, direction: minimize}]}
"""


def run(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "neurosearch", *words, "--json"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    x = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
    y = 1700 + 40 * x[:, 0] + 10 * x[:, 1]
    arrays = {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:]}
    np.savez(path / "own.npz", **arrays, target_names=np.array(["millimetres"]))
    np.savez(path / "new.npz", x=x[120:])
    np.save(path / "truth.npy", y[120:])
    (path / "heights.yaml").write_text(TEXT)
    return path


def test_a_place_that_takes_no_predictions_is_told_before_any_is_made(type_in: Callable[..., Any]) -> None:
    done = type_in("predict", "absent.onnx", "absent.npz", "--out", "out.txt")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: out.txt is neither .csv nor .npz.")


@pytest.mark.ray
@pytest.mark.slow
def test_a_regression_is_searched_exported_registered_and_predicts_in_the_users_units(folder: Path) -> None:
    found = run(folder, "search", "heights.yaml")
    assert found["ok"]
    facts = run(folder, "predict", "runs/heights/export", "new.npz", "--out", "out.csv")
    assert facts["target_names"] == ["millimetres"]
    values = np.array([each["values"]["millimetres"] for each in facts["predictions"]])
    truth = np.load(folder / "truth.npy")
    rmse = float(np.sqrt(np.mean((values - truth) ** 2)))
    assert rmse < truth.std(), "better than the mean"
    assert rmse == pytest.approx(found["winner"]["test"]["test/rmse"], rel=1e-4), "the same scores in the same units"
    assert (folder / "out.csv").read_text().splitlines()[0] == "name,millimetres"
    assert _signature(folder) == ["values"]


def _signature(folder: Path) -> list[str]:
    """Returns the outputs that the registered model's signature names."""
    code = (
        "import mlflow; mlflow.set_tracking_uri('sqlite:///runs/mlflow.db'); "
        "print(','.join(mlflow.models.get_model_info('models:/heights@best').signature.outputs.input_names()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1].split(",")
