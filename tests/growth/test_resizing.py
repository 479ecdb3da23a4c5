import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.growth.resizing import (
    LARGEST_DEMAND,
    least_important,
    most_important,
    size_at,
    sizes_at,
    sizes_by_demand,
)

STARTS = st.sampled_from(["zero_outgoing", "symmetric_pair"])
SHARES = st.floats(-0.99, 4.0)


@pytest.mark.parametrize(
    ("share", "base", "size"),
    [(0.5, 8, 12), (0.1, 3, 4), (0.25, 10, 12), (2.0, 3, 9), (0.0, 7, 7), (-0.5, 8, 4), (-0.9, 3, 1), (-0.1, 1, 1)],
)
def test_a_share_of_the_base_size_comes_or_goes_and_at_least_one(share, base, size):
    assert size_at(share, base, "zero_outgoing") == size


@pytest.mark.parametrize(
    ("share", "base", "size"), [(0.5, 6, 10), (0.5, 8, 12), (0.5, 1, 3), (-0.3, 6, 4), (-0.9, 6, 2), (-0.9, 2, 2)]
)
def test_symmetric_pairs_come_and_go_in_even_numbers(share, base, size):
    assert size_at(share, base, "symmetric_pair") == size


@given(low=SHARES, high=SHARES, base=st.integers(1, 300), start=STARTS)
@settings(deadline=None)
def test_a_larger_share_is_never_a_smaller_size_and_one_neuron_always_stays(low, high, base, start):
    low, high = sorted((low, high))
    assert 1 <= size_at(low, base, start) <= size_at(high, base, start)
    assert size_at(0.0, base, start) == base


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=9),
    data=st.data(),
)
@settings(deadline=None)
def test_pruned_neurons_are_the_lowest_unprotected_ones(scores, data):
    protected = data.draw(st.sets(st.integers(0, len(scores) - 1)))
    count = data.draw(st.integers(0, len(scores) - len(protected)))
    chosen = least_important(torch.tensor(scores), count, torch.tensor(sorted(protected), dtype=torch.long))
    assert len(set(chosen)) == count
    assert not protected & set(chosen)
    kept = [scores[i] for i in range(len(scores)) if i not in protected and i not in chosen]
    assert not chosen or not kept or max(scores[i] for i in chosen) <= min(kept)


def test_among_equals_the_youngest_goes_first_and_the_oldest_is_protected_first():
    equal = torch.zeros(5)
    assert least_important(equal, 2, torch.tensor([], dtype=torch.long)) == (3, 4)
    assert most_important(equal, 2).tolist() == [0, 1]


GROUPS = st.lists(st.tuples(st.integers(1, 60), st.floats(0.0, 1.0)), min_size=1, max_size=6)


@given(groups=GROUPS, share=st.floats(0.01, 2.0), start=STARTS)
@settings(deadline=None)
def test_demand_moves_newcomers_between_groups_and_adds_none(groups, share, start):
    base = {str(place): size for place, (size, _) in enumerate(groups)}
    demand = {str(place): each for place, (_, each) in enumerate(groups)}
    even, found = sizes_at(share, base, start), sizes_by_demand(share, base, demand, start)
    assert sum(found.values()) == sum(even.values())
    assert all(0 <= found[name] - base[name] <= LARGEST_DEMAND * (even[name] - base[name]) for name in base)
    if start == "symmetric_pair":
        assert all((found[name] - base[name]) % 2 == 0 for name in base)


def test_equal_demand_is_even_and_more_demand_is_more_neurons():
    base = {"a": 8, "b": 20, "c": 5}
    assert sizes_by_demand(0.5, base, {"a": 0.3, "b": 0.3, "c": 0.3}, "zero_outgoing") == {"a": 12, "b": 30, "c": 7}
    assert sizes_by_demand(0.5, base, {"a": 0.0, "b": 0.0, "c": 0.0}, "zero_outgoing") == {"a": 12, "b": 30, "c": 7}
    found = sizes_by_demand(0.5, {"a": 10, "b": 10}, {"a": 0.4, "b": 0.1}, "zero_outgoing")
    assert found == {"a": 18, "b": 12}
