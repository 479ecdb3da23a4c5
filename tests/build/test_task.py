from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurosearch import names
from neurosearch.build.cost import training_cost
from neurosearch.build.final import load_final, save_final, score_test_part
from neurosearch.build.memory import memory_need
from neurosearch.build.task import build_tally, build_task
from neurosearch.build.trial import build_trainer, prepare_data
from neurosearch.config.trial import TrialConfig
from neurosearch.data.prepared import PreparedData
from neurosearch.training.tasks import Classification, Regression

Make = Callable[..., TrialConfig]
EVENTS = [{"epoch": 1, "add_share": 0.5}, {"epoch": 2, "remove_share": 0.5}]
GROWTHS: list[dict[str, Any]] = [
    {"kind": "static"},
    {"kind": "periodic", "importance": "taylor", "period_epochs": 2, "grown_epochs": 1},
    {"kind": "events", "importance": "activation", "start": "gradmax", "events": EVENTS},
    {"kind": "nimble"},
]


@pytest.fixture(scope="module")
def quantities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantities")
    x = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    y = np.stack([500 + 20 * x[:, 0] * x[:, 1], x[:, 2]], 1)
    np.savez(folder / "own.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    return folder


@pytest.fixture(params=GROWTHS, ids=lambda growth: growth["kind"])
def regression(request: pytest.FixtureRequest, trial: Make, quantities: Path) -> TrialConfig:
    data = {"kind": "npz", "path": str(quantities / "own.npz"), "task": "regression"}
    training = {"epochs": 4, "learning_rate": 0.02, "batch_size": 16, "loss": "huber"}
    return trial(data=data, training=training, growth=request.param)


@pytest.fixture
def data(regression: TrialConfig, quantities: Path) -> PreparedData:
    return prepare_data(regression, quantities / "prepared")


def test_the_task_follows_the_data(
    trial: Make, digits: PreparedData, regression: TrialConfig, data: PreparedData
) -> None:
    assert isinstance(build_task(trial(), digits.manifest), Classification)
    task = build_task(regression, data.manifest)
    assert isinstance(task, Regression)
    assert task.loss_name == "huber"


def test_a_regression_trains_resumes_bit_for_bit_and_is_scored_in_the_users_units(
    regression: TrialConfig, data: PreparedData, tmp_path: Path
) -> None:
    cpu = torch.device("cpu")
    whole = build_trainer(regression, data, tmp_path / "whole", cpu)
    list(whole.epochs())
    next(iter(build_trainer(regression, data, tmp_path / "cut", cpu).epochs()))
    resumed = build_trainer(regression, data, tmp_path / "cut", cpu)
    list(resumed.epochs())
    final = whole.finish()
    again = resumed.finish().model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in final.model.state_dict().items())

    save_final(tmp_path, final.model, final.units)
    network = load_final(regression, data.manifest, tmp_path)
    scores = score_test_part(network, data)
    with torch.no_grad():
        found = data.postprocess()(network(torch.from_numpy(data.test().x))).numpy()
    truth = data.postprocess()(torch.from_numpy(data.test().y)).numpy()
    rmse = np.sqrt(((found - truth) ** 2).mean(0))
    assert scores["test/rmse"] == pytest.approx(rmse.mean(), rel=1e-4)
    assert [scores["test/rmse/y0"], scores["test/rmse/y1"]] == pytest.approx(rmse.tolist(), rel=1e-3)


def test_memory_and_cost_of_a_regression_are_known_beforehand(regression: TrialConfig, data: PreparedData) -> None:
    assert memory_need(regression, data.manifest, on_gpu=True).total > 0
    assert training_cost(regression, data.manifest) > 0


def test_no_loss_is_needed_to_score(data: PreparedData) -> None:
    tally = build_tally(data.manifest)
    tally.add(torch.zeros(3, 2), torch.zeros(3, 2))
    assert tally.metrics(tally.sums().tolist())[names.RMSE] == 0
