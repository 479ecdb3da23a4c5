import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.growth.periodic import (
    PeriodicPolicy,
    PeriodicSettings,
    added_sizes,
    least_important,
    most_important,
)
from neurosearch.growth.policy import NOTHING, Clock, Need


def make(period=5, grown=3, stop=0.7, protected=0.0, share=0.5):
    return PeriodicPolicy(PeriodicSettings(period, grown, share, stop, "zero_outgoing", "l2", protected))


def boundaries(policy, epochs, steps_per_epoch=4):
    """Epoch boundaries at which the policy is due, with what it needs."""
    clocks = [Clock(epoch * steps_per_epoch, epoch, steps_per_epoch, epochs) for epoch in range(epochs + 1)]
    return [(clock.epoch, need) for clock in clocks if (need := policy.due(clock)) is not None]


def test_cycles_grow_at_each_period_and_prune_grown_epochs_later():
    prune = Need(scores="l2", head_scores=False)
    assert boundaries(make(), epochs=20) == [
        (0, NOTHING),
        (3, prune),
        (5, NOTHING),
        (8, prune),
        (10, NOTHING),
        (13, prune),
    ]


def test_a_cycle_that_could_not_prune_before_the_stop_never_starts():
    assert [epoch for epoch, _ in boundaries(make(stop=0.6), epochs=20)] == [0, 3, 5, 8]
    assert boundaries(make(stop=0.1), epochs=20) == []


def test_head_scores_are_needed_exactly_when_neurons_are_protected():
    (_, _), (_, need) = boundaries(make(protected=0.25, stop=0.2), epochs=20)
    assert need == Need(scores="l2", head_scores=True)


def test_nothing_is_due_inside_an_epoch():
    policy = make(period=2, grown=1)
    assert [policy.due(Clock(step, step // 4, 4, 20)) for step in (1, 2, 3, 5, 6, 7)] == [None] * 6


@given(period=st.integers(2, 9), grown=st.integers(1, 8), stop=st.floats(0.05, 1.0), epochs=st.integers(1, 40))
@settings(deadline=None)
def test_every_growth_is_followed_by_its_pruning_before_the_stop(period, grown, stop, epochs):
    grown = min(grown, period - 1)
    due = boundaries(make(period, grown, stop), epochs)
    grows = [epoch for epoch, need in due if need == NOTHING]
    prunes = [epoch for epoch, need in due if need != NOTHING]
    assert prunes == [epoch + grown for epoch in grows]
    assert all(epoch <= stop * epochs for epoch in prunes)


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


@pytest.mark.parametrize(("share", "size", "added"), [(0.5, 8, 4), (0.1, 3, 1), (0.25, 10, 2), (2.0, 3, 6)])
def test_a_share_of_the_base_size_is_added_and_at_least_one(share, size, added):
    settings = PeriodicSettings(5, 3, share, 0.7, "zero_outgoing", "l2", 0.0)
    assert added_sizes(settings, {"a": size}) == {"a": added}


def test_symmetric_pairs_come_in_even_numbers():
    settings = PeriodicSettings(5, 3, 0.5, 0.7, "symmetric_pair", "l2", 0.0)
    assert added_sizes(settings, {"a": 6, "b": 8, "c": 1}) == {"a": 4, "b": 4, "c": 2}
