from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch import names
from neurosearch.growth import Clock, Snapshot
from neurosearch.growth.resizing import (
    LARGEST_DEMAND,
    least_important,
    most_important,
    pruning,
    size_at,
    sizes_at,
    sizes_by_demand,
    whole_share,
)
from neurosearch.neurons import Merge, Twins, find_units, near_duplicates

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


@given(percent=st.integers(0, 100), hundreds=st.integers(1, 9))
@settings(deadline=None)
def test_a_share_in_percent_of_a_hundred_is_as_many_neurons(percent, hundreds):
    assert whole_share(percent / 100, 100 * hundreds) == percent * hundreds


def test_a_share_is_whole_neurons_downwards():
    assert [whole_share(share, 7) for share in (0.0, 0.14, 0.15, 0.99, 1.0)] == [0, 0, 1, 6, 7]


@pytest.mark.parametrize("protected_share", [0.29, 0.57, 0.58])
def test_as_many_neurons_are_protected_as_the_share_says(protected_share):
    model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 2))
    units = find_units(model, (torch.zeros(2, 2),))
    scores = torch.arange(100.0)  # those that head classes need most are those that all need least
    clock, generator = Clock(4, 1, 4, 10), torch.Generator()
    snapshot = Snapshot(clock, units, {"0": 100}, {"0": scores}, {"0": -scores}, None, generator)
    [change] = pruning(snapshot, {"0": 60}, {}, "taylor", protected_share, "").plan.changes
    assert change.removed[0] == round(100 * protected_share)


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


def seen(model, scores, threshold):
    units = find_units(model, (torch.zeros(2, 3),))
    twins = near_duplicates(model, units, threshold) if threshold else None
    base, generator = {group.name: group.size for group in units.groups}, torch.Generator()
    return Snapshot(Clock(6, 2, 3, 9), units, base, scores, None, None, generator, twins=twins)


def test_a_pruned_neuron_is_merged_into_a_near_duplicate_that_stays():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    with torch.no_grad():
        model[2].weight[4], model[2].bias[4] = 2 * model[2].weight[1], 2 * model[2].bias[1]
        model[2].weight[3], model[2].bias[3] = -model[2].weight[0], -model[2].bias[0]
    scores = {"0": torch.arange(4.0), "2": torch.tensor([3.0, 4.0, 5.0, 2.0, 1.0])}
    sizes = {"0": 3, "2": 3}
    one, again, plain = (
        pruning(seen(model, scores, threshold), sizes, {}, "l2", 0.0, "fewer") for threshold in (0.99, 0.99, 0.0)
    )
    first, second = one.plan.changes
    assert (first.removed, first.merged) == ((0,), ())
    assert (second.removed, second.merged) == ((3, 4), (Merge(4, 1, pytest.approx(2.0)),))
    assert one.counts == {names.NEURONS_MERGED: 1.0}
    assert one.notes.keys() == {"0", "2"}
    assert one.notes["0"].startswith("not merged: a mean or variance is taken over its units (layer_norm in 1")
    assert one.notes["2"] == "1 merged into near-duplicates"
    assert again.plan.digest == one.plan.digest != plain.plan.digest
    assert (plain.counts, plain.notes) == ({}, {})
    assert not any(change.merged for change in plain.plan.changes)


def test_what_was_found_elsewhere_decides_and_not_the_weights():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    snapshot = seen(model, {"0": torch.arange(4.0)}, 0.0)
    found = Twins(
        torch.tensor([[0, 2]]), torch.ones(1, dtype=torch.float64), torch.full((1,), 0.5, dtype=torch.float64)
    )
    decision = pruning(replace(snapshot, twins={"0": found}), {"0": 3}, {}, "l2", 0.0, "fewer")
    assert decision.plan.changes[0].merged == (Merge(0, 2, 0.5),)
