import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.epochs import epochs_within
from neurosearch.growth.events import Event, EventsPolicy, EventsSettings
from neurosearch.growth.periodic import PeriodicPolicy, PeriodicSettings
from neurosearch.growth.policy import NOTHING, Clock, Need
from neurosearch.neurons.units import GroupFacts, Layout, Units

UNITS = Units(Layout((GroupFacts("a", 1, {}), GroupFacts("b", 1, {})), {}, {}, (), ()), (8, 3))
PRUNE = Need(scores="l2", head_scores=False, directions=None)


def make(*events, protected=0.0, start="zero_outgoing"):
    return attached(
        EventsPolicy(EventsSettings(tuple(Event(*event) for event in events), start, "l2", protected, 0.1, 0.0))
    )


def attached(policy):
    policy.attach(UNITS, torch.device("cpu"), torch.float32, torch.Generator())
    return policy


def boundaries(policy, epochs, steps_per_epoch=4):
    clocks = [Clock(epoch * steps_per_epoch, epoch, steps_per_epoch, epochs) for epoch in range(epochs + 1)]
    return [(clock.epoch, need) for clock in clocks if (need := policy.due(clock)) is not None]


def test_events_are_due_at_their_epochs_with_what_growing_or_pruning_needs():
    policy = make((2, 0.5), (5, 1.0), (6, 0.25), (9, 0.0))
    assert boundaries(policy, epochs=12) == [(2, NOTHING), (5, NOTHING), (6, PRUNE), (9, PRUNE)]


def test_a_gradmax_start_needs_directions_for_the_neurons_that_each_growth_adds():
    due = boundaries(make((0, 0.5), (2, 1.0), (3, -0.5), (4, 0.0), start="gradmax"), epochs=12)
    assert [need.directions for _, need in due] == [{"a": 4, "b": 2}, {"a": 4, "b": 1}, None, {"a": 4, "b": 2}]


def test_growing_back_from_below_the_base_size_is_growth():
    assert boundaries(make((1, -0.5), (3, 0.0)), epochs=5) == [(1, PRUNE), (3, NOTHING)]


def test_head_scores_are_needed_exactly_when_neurons_are_protected():
    assert boundaries(make((0, 0.5), (2, 0.0), protected=0.25), epochs=5)[1][1].head_scores


def test_nothing_is_due_inside_an_epoch():
    policy = make((0, 0.5), (1, 0.0))
    assert [policy.due(Clock(step, step // 4, 4, 20)) for step in (1, 2, 3, 5, 6, 7)] == [None] * 6


def test_events_that_do_not_end_at_the_base_size_are_no_policy():
    with pytest.raises(AssertionError):
        make((0, 0.5), (2, 0.25))


@given(
    period=st.integers(2, 9),
    grown=st.integers(1, 8),
    stop=st.floats(0.3, 1.0),
    epochs=st.integers(8, 40),
    start=st.sampled_from(["zero_outgoing", "gradmax"]),
)
@settings(deadline=None)
def test_cycles_can_be_written_as_events(period, grown, stop, epochs, start):
    grown = min(grown, period - 1)
    cycles = attached(
        PeriodicPolicy(PeriodicSettings(period, grown, 0.5, "all", stop, start, "l2", 0.0, 0.1, 0.0, 0.0))
    )
    starts = [epoch for epoch in range(0, epochs, period) if epoch + grown <= epochs_within(stop, epochs)]
    if starts:
        events = make(*(event for epoch in starts for event in ((epoch, 0.5), (epoch + grown, 0.0))), start=start)
        assert boundaries(events, epochs) == boundaries(cycles, epochs)
