import math

import numpy as np
import pytest

from neurosearch.data.arrays import check_arrays
from neurosearch.data.functions import (
    CUBIC,
    QUADRATIC,
    BesselSum,
    Bump,
    FunctionSource,
    GaussianMixture,
    Interval,
    Points,
    Polynomial,
    SineClassesSource,
)
from neurosearch.data.prepared import prepare
from neurosearch.data.problems import DataError
from neurosearch.data.selection import PrepareSettings

POINTS = Points(num_train=40, num_test=8, seed=3)
WHOLE = Interval(-1.0, 1.0)


def bessel_by_series(order, x):
    """The power series of J_order, an independent way to its values."""
    return sum(
        (-1) ** k / (math.factorial(k) * math.factorial(k + order)) * (x / 2) ** (2 * k + order) for k in range(60)
    )


def parts(curve, interval=WHOLE, points=POINTS):
    raw = FunctionSource(curve, interval, points).load()
    assert check_arrays(raw) == []
    assert (raw.x_train.shape, raw.x_test.shape) == ((points.num_train, 1), (points.num_test, 1))
    return np.concatenate([raw.x_train, raw.x_test])[:, 0].astype(float), np.concatenate([raw.y_train, raw.y_test])


def test_the_published_bessel_function_is_j0_between_a_tenth_and_two_tenths_filling_the_square():
    x, y = parts(BesselSum(1), Interval(0.1, 0.2))
    high, low = bessel_by_series(0, 0.1), bessel_by_series(0, 0.2)  # it falls all the way
    expected = [2 * (bessel_by_series(0, 0.15 + 0.05 * each) - low) / (high - low) - 1 for each in x]
    assert np.abs(y - expected).max() < 1e-6
    # The constants that the published code has for it: rounded, so the outputs lie a little too high.
    assert np.abs(y - [-265.83 + 267.5 * bessel_by_series(0, 0.15 + 0.05 * each) for each in x]).max() < 2e-3


def test_a_bessel_sum_is_rescaled_by_its_range_on_the_interval():
    x, y = parts(BesselSum(3), Interval(-2 * math.pi, 2 * math.pi), Points(2000, 8, 0))
    raw = sum(bessel_by_series(order, 2 * math.pi * x) for order in range(3))
    places = np.linspace(-2 * math.pi, 2 * math.pi, 9001)
    grid = sum(bessel_by_series(order, places) for order in range(3))
    expected = 2 * (raw - grid.min()) / (grid.max() - grid.min()) - 1
    assert np.abs(y - expected).max() < 1e-5
    assert y.min() >= -1 - 1e-6
    assert y.max() <= 1 + 1e-6


def test_the_published_cubic_passes_through_its_points():
    x, y = parts(Polynomial(CUBIC))
    assert np.abs(y - (45 * (x**3 + x**2 - x - 1) / 32 + 1)).max() < 1e-6
    cubic = Polynomial(CUBIC)
    assert cubic(np.array([-1.0, 1.0, 1 / 3])) == pytest.approx([1, 1, -2 / 3])
    assert (cubic(np.array([1 / 3 + 1e-6])) - cubic(np.array([1 / 3 - 1e-6])))[0] == pytest.approx(0, abs=1e-11)


def test_the_published_quadratic_passes_through_its_points():
    x, y = parts(Polynomial(QUADRATIC))
    assert np.abs(y - (x**2 / 5 - x - 1 / 5)).max() < 1e-6
    assert Polynomial(QUADRATIC)(np.array([-1.0, 0.0, 1.0])) == pytest.approx([1, -1 / 5, -1])


def test_a_gaussian_mixture_is_the_sum_of_its_bumps_rescaled():
    bumps = (Bump(1.0, -0.5, 0.2), Bump(-2.0, 0.5, 0.1))
    x, y = parts(GaussianMixture(bumps))

    def at(each):
        return math.exp(-(((each + 0.5) / 0.2) ** 2) / 2) - 2 * math.exp(-(((each - 0.5) / 0.1) ** 2) / 2)

    grid = [at(each) for each in np.linspace(-1, 1, 20001)]
    expected = [2 * (at(each) - min(grid)) / (max(grid) - min(grid)) - 1 for each in x]
    assert np.abs(y - expected).max() < 1e-5


def test_the_classes_of_the_sine_are_its_signs():
    raw = SineClassesSource(POINTS).load()
    assert check_arrays(raw) == []
    assert raw.y_train.tolist() == [math.floor(1 + math.sin(2 * math.pi * x)) for x in raw.x_train[:, 0].astype(float)]


def test_points_depend_on_the_seed_alone():
    first, again = (FunctionSource(BesselSum(1), Interval(0.1, 0.2), POINTS) for _ in range(2))
    other = FunctionSource(BesselSum(1), Interval(0.1, 0.2), Points(40, 8, 4))
    assert np.array_equal(first.load().x_train, again.load().x_train)
    assert not np.array_equal(first.load().x_train, other.load().x_train)
    assert len({first.identity(), again.identity(), other.identity()}) == 2


def test_a_function_without_spread_is_refused():
    with pytest.raises(DataError, match=r"no spread from -1 to 1: its values lie between 2 and 2\. Change data\.low"):
        FunctionSource(Polynomial((0.0, 0.0, 2.0)), WHOLE, POINTS).load()


def test_nothing_is_standardised(tmp_path):
    settings = PrepareSettings(imbalance=None, validation_share=0.2, split_seed=0, resize=None)
    source = FunctionSource(Polynomial(QUADRATIC), WHOLE, POINTS)
    data, raw = prepare(settings, source, tmp_path), source.load()
    train, validation = data.train(), data.validation()
    assert (len(train.y), len(validation.y)) == (32, 8)
    assert sorted([*train.x[:, 0], *validation.x[:, 0]]) == sorted(raw.x_train[:, 0])
    assert sorted([*train.y[:, 0], *validation.y[:, 0]]) == sorted(raw.y_train)
    assert np.array_equal(data.test().y[:, 0], raw.y_test)
    assert (data.manifest.mean, data.manifest.std) == ((0.0,), (1.0,))
    assert data.manifest.targets is not None
    assert (data.manifest.targets.mean, data.manifest.targets.std) == ((0.0,), (1.0,))
