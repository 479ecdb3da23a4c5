import random
from collections import Counter
from math import comb
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neurosearch.config.growth import EventsFields
from neurosearch.config.schedule_node import ScheduleNode
from neurosearch.config.trial import TrialConfig

ENDS_AND_BETWEEN = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)


def node(**keys: Any) -> ScheduleNode:
    values = {"search": "schedule", "cycles": {"low": 1, "high": 3}, "last_epoch": 9, "add_share": 0.5}
    return ScheduleNode.model_validate({**values, **keys})


@st.composite
def nodes(draw: st.DrawFn) -> ScheduleNode:
    low, extra = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    first = draw(st.integers(0, 5))
    share = draw(st.floats(0.01, 2.0))
    return node(
        cycles={"low": low, "high": low + extra} if extra else low,
        first_epoch=first,
        last_epoch=first + 2 * (low + extra) - 1 + draw(st.integers(0, 30)),
        add_share=share if draw(st.booleans()) else {"low": share, "high": share + draw(st.floats(0.01, 2.0))},
        share_step=draw(st.sampled_from([None, 0.1, 0.25, 0.3, 1.0])),
    )


def drawn(composite: ScheduleNode, data: st.DataObject) -> dict[str, Any]:
    """Chooses every leaf as a search does, at its ends or anywhere between."""
    chosen: dict[str, Any] = {}
    for leaf in composite.leaves:
        if leaf.exists(chosen):
            low, high = leaf.node.ends
            share = data.draw(ENDS_AND_BETWEEN)
            value = low + share * (high - low)
            step = getattr(leaf.node, "step", None)
            chosen[leaf.name] = value if step is None else type(low)(low + round((value - low) / step) * step)
    return chosen


@given(nodes(), st.data())
@settings(deadline=None)
def test_every_point_is_a_valid_growth_section(composite: ScheduleNode, data: st.DataObject) -> None:
    events = composite.value(drawn(composite, data))
    sections = {"data": {"kind": "digits"}, "model": {"kind": "mlp", "widths": [8]}}
    training = {"epochs": composite.last_epoch + 1}
    config = TrialConfig.model_validate(
        {**sections, "training": training, "growth": {"kind": "events", "events": events}}
    )
    assert isinstance(config.growth, EventsFields)
    epochs = [event.epoch for event in config.growth.events]
    assert epochs == sorted(set(epochs))
    assert composite.first_epoch <= epochs[0] < epochs[-1] <= composite.last_epoch
    assert config.growth.shares[1::2] == (0.0,) * (len(epochs) // 2)
    assert all(share > 0 for share in config.growth.shares[::2])


@given(nodes(), st.data())
@settings(deadline=None)
def test_events_lead_back_to_leaves_that_give_them(composite: ScheduleNode, data: st.DataObject) -> None:
    chosen = drawn(composite, data)
    events = composite.value(chosen)
    again = composite.chosen(events)
    assert again is not None
    assert composite.value(again) == events
    existing = [leaf.name for leaf in composite.leaves if leaf.exists(again)]
    assert list(again) == existing == list(chosen)


@pytest.mark.parametrize(
    "events",
    [
        None,
        3,
        [],
        [{"epoch": 0, "add_share": 0.5}],
        [{"epoch": 0, "add_share": 0.5}, {"epoch": 3, "remove_share": 0.25}],
        [{"epoch": 0, "remove_share": 0.5}, {"epoch": 3, "add_share": 0.5}],
        [{"epoch": 3, "add_share": 0.5}, {"epoch": 2, "remove_share": 0.5}],
        [{"epoch": 8, "add_share": 0.5}, {"epoch": 12, "remove_share": 0.5}],
    ],
)
def test_what_are_no_cycles_of_a_node_leads_back_to_nothing(events: Any) -> None:
    assert node().chosen(events) is None


def test_even_shares_make_all_schedules_equally_likely() -> None:
    composite, dice = node(cycles=2, last_epoch=6), random.Random(0)
    points = ({leaf.name: dice.random() for leaf in composite.leaves} for _ in range(35_000))
    found = Counter(tuple(event["epoch"] for event in composite.value(point)) for point in points)
    assert len(found) == comb(7, 4)
    assert all(abs(count - 1000) < 130 for count in found.values())  # four standard deviations


def test_one_cycle_has_its_start_and_its_length_as_shares_of_what_is_possible() -> None:
    composite = node(cycles=1, last_epoch=10)
    earliest, latest = {"cycle_1.start": 0.0}, {"cycle_1.start": 1.0}
    assert composite.value({**earliest, "cycle_1.length": 0.0})[1]["epoch"] == 1
    assert [event["epoch"] for event in composite.value({**earliest, "cycle_1.length": 1.0})] == [0, 10]
    assert [event["epoch"] for event in composite.value({**latest, "cycle_1.length": 0.0})] == [9, 10]
    assert [event["epoch"] for event in composite.value({**earliest, "cycle_1.length": 0.5})] == [0, 6]


def test_its_hyperparameters_exist_for_so_many_cycles() -> None:
    found = {leaf.name: dict(leaf.requires) for leaf in node(add_share={"low": 0.25, "high": 1.0}).leaves}
    assert found == {
        "cycles": {},
        **{f"cycle_1.{part}": {} for part in ("start", "length", "add_share")},
        **{f"cycle_2.{part}": {"cycles": (2, 3)} for part in ("start", "length", "add_share")},
        **{f"cycle_3.{part}": {"cycles": (3,)} for part in ("start", "length", "add_share")},
    }


def test_what_is_written_as_one_value_is_no_hyperparameter() -> None:
    assert [leaf.name for leaf in node(cycles=1).leaves] == ["cycle_1.start", "cycle_1.length"]


@given(nodes())
@settings(deadline=None)
def test_extremes_reach_every_end(composite: ScheduleNode) -> None:
    schedules = [composite.value(each) for each in composite.extremes]
    assert min(events[0]["epoch"] for events in schedules) == composite.first_epoch
    if composite.share_step in (None, 0.1, 0.25, 1.0):  # the steps reach 1
        assert max(events[-1]["epoch"] for events in schedules) == composite.last_epoch
    for leaf in composite.leaves:
        assert {each[leaf.name] for each in composite.extremes if leaf.name in each} >= set(leaf.node.ends)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"cycles": {"low": 1, "high": 6}}, "cycles.high and last_epoch: 6 cycles need 12 different epochs"),
        ({"cycles": 2, "last_epoch": 2}, "cycles and last_epoch: 2 cycles need 4 different epochs to grow and prune"),
        ({"first_epoch": 9}, "first_epoch and last_epoch: first_epoch is 9 and last_epoch is 9"),
        ({"cycles": 10**9, "last_epoch": 10**10}, "cycles: is 1000000000, but must be at most 100"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        node(**keys)


def test_as_many_cycles_as_there_is_room_for_are_one_schedule() -> None:
    composite = node(cycles=5)
    for share in (0.0, 0.3, 1.0):
        events = composite.value({leaf.name: share for leaf in composite.leaves})
        assert [event["epoch"] for event in events] == list(range(10))
