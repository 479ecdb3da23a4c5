import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from neurosearch.config.search import Constraint
from neurosearch.config.study import SizeLimit
from neurosearch.search.hypervolume import Box, bounds, hypervolume, hypervolume_history, study_box

shares = st.floats(0, 1.2, allow_subnormal=False).map(lambda value: round(value, 2))


@st.composite
def clouds(draw):
    width = draw(st.integers(1, 5))
    return draw(st.lists(st.tuples(*[shares] * width), min_size=1, max_size=10)), width


def unit_box(width):
    return Box((0.0,) * width, (1.0,) * width)


def test_one_point_spans_a_rectangle():
    box = Box(ideal=(1.0, 0.0), worst=(0.0, 1000.0))
    assert hypervolume([(0.8, 250.0)], box) == pytest.approx(0.8 * 0.75)
    assert hypervolume([(0.8, 250.0), (0.9, 500.0)], box) == pytest.approx(0.8 * 0.75 + 0.1 * 0.5)


def test_a_point_at_or_beyond_the_reference_adds_nothing():
    box = Box(ideal=(1.0, 0.0), worst=(0.0, 1000.0))
    assert hypervolume([(1.0, 1000.0), (1.0, 2000.0), (0.0, 0.0)], box) == 0
    assert hypervolume([], box) == 0


def test_an_ideal_point_covers_the_box():
    assert hypervolume([(1.0, 0.0)], Box((1.0, 0.0), (0.0, 7.0))) == 1


def test_a_box_without_an_inside_holds_nothing():
    assert hypervolume([(1.0, 3.0)], Box((1.0, 0.0), (1.0, 7.0))) == 0


@given(clouds())
def test_it_equals_optunas_within_the_box(cloud):
    points, width = cloud
    inside = np.array([point for point in points if max(point) < 1]).reshape(-1, width)
    expected = compute_hypervolume(inside, np.ones(width)) if len(inside) else 0.0
    assert hypervolume(points, unit_box(width)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_it_is_the_share_of_random_points_that_are_dominated(width):
    generator = np.random.default_rng(width)
    points = generator.random((20, width))
    darts = generator.random((40_000, width))
    hit = (points[:, None, :] <= darts[None, :, :]).all(axis=2).any(axis=0).mean()
    assert hypervolume(points.tolist(), unit_box(width)) == pytest.approx(hit, abs=0.01)


@given(clouds(), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_one_more_point_never_takes_away(cloud, random):
    points, width = cloud
    shuffled = random.sample(points, len(points))
    whole = hypervolume(points, unit_box(width))
    assert hypervolume(shuffled, unit_box(width)) == pytest.approx(whole, abs=1e-12)
    assert hypervolume(points[1:], unit_box(width)) <= whole + 1e-12


@given(clouds())
def test_a_history_never_falls_and_ends_at_the_volume_of_all(cloud):
    points, width = cloud
    history = hypervolume_history(points, [0.0] * len(points), unit_box(width))
    assert list(history) == sorted(history)
    assert history[-1] == pytest.approx(hypervolume(points, unit_box(width)), abs=1e-12)


def test_infeasible_points_leave_the_history_as_it_is():
    box = Box((1.0, 0.0), (0.0, 10.0))
    assert hypervolume_history([(0.5, 5.0), (1.0, 0.0), (0.5, 5.0)], [0.0, 0.1, -1.0], box) == (0.25, 0.25, 0.25)


def test_the_study_bounds_scores_by_nothing_and_the_limited_size_by_its_limit():
    metrics = ("balanced_accuracy", "parameters", "neurons", "validation_loss")
    directions = ("maximize", "minimize", "minimize", "minimize")
    limit = SizeLimit(parameters=2000)
    assert bounds(metrics, directions, limit, ()) == (0.0, 2000.0, None, None)
    constraints = (
        Constraint(metric="balanced_accuracy", at_least=0.4),
        Constraint(metric="parameters", at_most=500),
        Constraint(metric="neurons", at_least=3),
    )
    assert bounds(metrics, directions, limit, constraints) == (0.4, 500.0, None, None)


def test_what_has_no_bound_counts_a_little_beyond_the_worst_point():
    box = study_box([(0.5, 100.0), (0.7, 300.0)], ("maximize", "minimize"), (0.4, None))
    assert box == Box((1.0, 0.0), (0.4, pytest.approx(330.0)))
    assert hypervolume([(0.7, 300.0)], box) > 0
    assert study_box([], ("maximize", "minimize"), (0.0, None)).worst == (0.0, pytest.approx(1.1))
    assert study_box([(0.5, 0.0)], ("maximize", "minimize"), (0.0, None)).worst == (0.0, 1.0)


def test_a_front_of_a_hundred_points_in_three_objectives_is_measured():
    points = np.random.default_rng(0).dirichlet(np.ones(3), size=100)
    expected = compute_hypervolume(points, np.ones(3))
    assert hypervolume(points.tolist(), unit_box(3)) == pytest.approx(expected, abs=1e-12)
