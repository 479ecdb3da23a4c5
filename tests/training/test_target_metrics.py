import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch import names
from neurosearch.training.target_metrics import RegressionTally, target_scores

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scores are compared with scikit-learn's")


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 4), st.integers(1, 7))
@settings(deadline=None, max_examples=50)
def test_scores_are_those_of_scikit_learn_in_the_users_units(seed, num_examples, num_targets, batch_size):
    generator = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(2, num_examples, num_targets, dtype=torch.float64, generator=generator)
    means, deviations = np.linspace(-9, 5, num_targets), np.linspace(0.5, 40, num_targets)
    tally = RegressionTally([f"y{i}" for i in range(num_targets)], deviations.tolist())
    for each in zip(outputs.split(batch_size), targets.split(batch_size), strict=True):
        tally.add(*each)
    metrics = tally.metrics(tally.sums().tolist())
    found, truth = (values.numpy() * deviations + means for values in (outputs, targets))
    assert metrics[names.RMSE] == pytest.approx(sklearn_metrics.root_mean_squared_error(truth, found))
    assert metrics[names.MAE] == pytest.approx(sklearn_metrics.mean_absolute_error(truth, found))
    assert metrics[names.R2] == pytest.approx(sklearn_metrics.r2_score(truth, found))
    assert metrics[names.VALIDATION_LOSS] == pytest.approx(torch.nn.functional.mse_loss(outputs, targets).item())
    if num_targets > 1:
        single = sklearn_metrics.r2_score(truth, found, multioutput="raw_values")
        assert [metrics[f"r2/y{i}"] for i in range(num_targets)] == pytest.approx(single.tolist())


def test_a_single_target_has_no_scores_of_its_own():
    tally = RegressionTally(["price"], [2.0])
    tally.add(torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [0.0]]))
    assert tally.metrics(tally.sums().tolist()).keys() == {names.RMSE, names.MAE, names.R2, names.VALIDATION_LOSS}


@pytest.mark.parametrize(("squared", "explained"), [(0.0, 1.0), (0.5, 0.0)])
def test_targets_that_do_not_vary_have_a_finite_r2(squared, explained):
    assert target_scores(3, squared, squared, 0.3, 0.03)[names.R2] == explained


def test_outputs_in_bfloat16_are_scored_in_float64():
    tally = RegressionTally(["price"], [1.0])
    tally.add(torch.tensor([[1.0], [3.0]], dtype=torch.bfloat16), torch.tensor([[1.01], [3.02]]))
    assert tally.metrics(tally.sums().tolist())[names.MAE] == pytest.approx(0.015, rel=1e-3)
