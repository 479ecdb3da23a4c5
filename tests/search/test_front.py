import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.search.front import as_losses, margins, non_dominated_ranks, pareto_front

# Few different values, so that ties and equal points are common.
numbers = st.integers(0, 4).map(float)


@st.composite
def groups(draw, objectives=None):
    width = objectives or draw(st.integers(1, 4))
    points = draw(st.lists(st.tuples(*[numbers] * width), min_size=1, max_size=12))
    violations = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=len(points), max_size=len(points)))
    return np.array(points), violations


def dominates(losses, violations, i, j):
    """Say what domination is, in the words of the definition."""
    mine, other = max(violations[i], 0), max(violations[j], 0)
    if mine != other:
        return mine < other
    return bool((losses[i] <= losses[j]).all() and (losses[i] < losses[j]).any())


def crowding_distances(losses):
    """Return Deb's crowding distances of one front, to set the margins beside them."""
    distances = np.zeros(len(losses))
    for loss in losses.T:
        order = np.argsort(loss, kind="stable")
        distances[order[[0, -1]]] = np.inf
        gaps = (loss[order[2:]] - loss[order[:-2]]) / (loss.max() - loss.min())
        distances[order[1:-1]] += gaps
    return distances


def test_losses_of_maximised_values_change_their_sign():
    assert as_losses([(0.5, 3.0)], ("maximize", "minimize")).tolist() == [[-0.5, 3.0]]


@given(groups())
def test_a_rank_is_the_longest_chain_of_dominators(group):
    losses, violations = group
    ranks = non_dominated_ranks(losses, violations)
    for j in range(len(losses)):
        dominators = [ranks[i] for i in range(len(losses)) if dominates(losses, violations, i, j)]
        assert ranks[j] == max(dominators, default=-1) + 1


def test_ranks_of_a_known_group():
    losses = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [4.0, 4.0], [0.0, 0.0]])
    assert non_dominated_ranks(losses, [0, 0, 0, 0, 0, 0.1]).tolist() == [0, 0, 0, 1, 2, 3]


def test_the_front_lists_feasible_points_from_the_best_of_the_first_objective_on():
    values = [(0.8, 500.0), (0.9, 900.0), (0.7, 600.0), (0.99, 100.0), (0.8, 500.0)]
    assert pareto_front(values, ("maximize", "minimize"), [0, -1, 0, 0.2, 0]) == (1, 0, 4)
    assert pareto_front(values, ("maximize", "minimize"), [1] * 5) == ()
    assert pareto_front([], ("maximize", "minimize"), []) == ()


@given(groups())
def test_the_front_is_what_no_feasible_point_dominates(group):
    losses, violations = group
    within = [i for i in range(len(losses)) if violations[i] <= 0]
    free = [j for j in within if not any(dominates(losses, violations, i, j) for i in within)]
    assert sorted(pareto_front(losses.tolist(), ("minimize",) * losses.shape[1], violations)) == free


def test_ends_of_a_front_come_first_and_a_crowded_point_last():
    losses = np.array([[0.0, 10.0], [4.0, 4.0], [4.5, 3.5], [10.0, 0.0]])
    assert margins(losses, np.array([10.0, 10.0])).tolist() == pytest.approx([np.inf, 0.05, 0.05, np.inf])
    assert margins(losses[:1], np.ones(2)).tolist() == [np.inf]


def test_equal_points_have_no_margin():
    assert margins(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]), np.ones(2)).tolist() == [0.0, 0.0, np.inf]


def test_by_crowding_distance_a_better_point_may_fall_behind_by_margin_it_does_not():
    """The own point stands first; it gets better in its second loss, which widens its neighbour's gap."""
    front = np.array([[4.9, 4.0], [4.0, 6.0], [0.0, 10.0], [10.0, 0.0]])
    better = front.copy()
    better[0] = (4.9, 2.0)
    ahead = [int((values > values[0]).sum()) for values in map(crowding_distances, (front, better))]
    assert ahead[1] > ahead[0]
    ahead = [
        int((values > values[0]).sum()) for values in (margins(each, np.full(2, 10.0)) for each in (front, better))
    ]
    assert ahead[1] <= ahead[0]


@pytest.mark.parametrize("objectives", [1, 2, 4])
@pytest.mark.parametrize("kind", ["feasible", "infeasible", "chain"])
def test_a_thousand_points_are_ranked_in_well_under_a_second(objectives, kind):
    generator = np.random.default_rng(0)
    losses = generator.normal(size=(1000, objectives))
    if kind == "chain":
        losses = np.repeat(np.arange(1000.0)[:, None], objectives, axis=1)
    violations = generator.random(1000) if kind == "infeasible" else np.zeros(1000)
    start = time.process_time()
    ranks = non_dominated_ranks(losses, violations)
    # 15 to 45 ms on a desk machine; the bound leaves room for one that does other things, too.
    assert time.process_time() - start < 0.5
    assert ranks.min() == 0
