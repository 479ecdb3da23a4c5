import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch import names
from neurosearch.growth.periodic import PeriodicPolicy, PeriodicSettings
from neurosearch.growth.policy import NOTHING, Clock, Need, Snapshot
from neurosearch.neurons import find_units
from neurosearch.neurons.units import GroupFacts, Layout, Units

UNITS = Units(Layout((GroupFacts("a", 1, {}), GroupFacts("b", 1, {})), {}, {}, (), ()), (8, 3))


def make(period=5, grown=3, stop=0.7, protected=0.0, share=0.5, start="zero_outgoing", explained=0.0, merge=0.0):
    settings = PeriodicSettings(period, grown, share, "all", stop, start, "l2", protected, 0.1, explained, merge)
    policy = PeriodicPolicy(settings)
    policy.attach(UNITS, torch.device("cpu"), torch.float32, torch.Generator())
    return policy


def boundaries(policy, epochs, steps_per_epoch=4):
    """Epoch boundaries at which the policy is due, with what it needs."""
    clocks = [Clock(epoch * steps_per_epoch, epoch, steps_per_epoch, epochs) for epoch in range(epochs + 1)]
    return [(clock.epoch, need) for clock in clocks if (need := policy.due(clock)) is not None]


def test_cycles_grow_at_each_period_and_prune_grown_epochs_later():
    prune = Need(scores="l2", head_scores=False, directions=None)
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


def test_the_last_cycle_may_prune_where_the_stop_falls_on_a_whole_epoch():
    assert boundaries(make(), epochs=90)[-1][0] == 63, "0.7 * 90 is 62.99999999999999"


def test_head_scores_are_needed_exactly_when_neurons_are_protected():
    (_, _), (_, need) = boundaries(make(protected=0.25, stop=0.2), epochs=20)
    assert need == Need(scores="l2", head_scores=True, directions=None)


def test_near_duplicates_are_needed_exactly_when_neurons_are_merged():
    (_, _), (_, need) = boundaries(make(merge=0.9, stop=0.2), epochs=20)
    assert need == Need(scores="l2", head_scores=False, directions=None, twins=0.9)


def test_a_gradmax_start_needs_directions_for_as_many_neurons_as_come():
    prune = Need(scores="l2", head_scores=False, directions=None)
    grow = Need(scores=None, head_scores=False, directions={"a": 4, "b": 2})
    assert boundaries(make(stop=0.4, start="gradmax"), epochs=20) == [(0, grow), (3, prune), (5, grow), (8, prune)]


@pytest.mark.parametrize(("found", "grows"), [({"a": 0.1, "b": 0.3}, True), ({"a": 0.1, "b": 0.2}, False)])
def test_a_cycle_grows_only_if_its_newcomers_would_explain_enough(found, grows):
    policy = make(explained=0.2)
    assert boundaries(policy, epochs=5) == [
        (0, Need(scores=None, head_scores=False, directions=None, explained={"a": 4, "b": 2})),
        (3, Need(scores="l2", head_scores=False, directions=None)),
    ]
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 2))
    units = find_units(model, (torch.zeros(2, 2),))
    base = {group.name: group.size for group in units.groups}
    renamed = dict(zip(base, found.values(), strict=True))
    clock, generator = Clock(0, 0, 4, 5), torch.Generator()
    (decision,) = policy.decide(Snapshot(clock, units, base, None, None, None, generator, explained=renamed))
    assert [change.added for change in decision.plan.changes] == ([4, 2] if grows else [])
    assert decision.counts == {names.EXPLAINED_SHARE: sum(found.values()) / 2}


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
    assert all(epoch <= stop * epochs + 1e-6 for epoch in prunes)
