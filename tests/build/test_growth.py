from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosearch.build.trial import training_settings
from neurosearch.config.growth import EventsFields, NimbleFields, PeriodicFields, StaticFields
from neurosearch.config.kinds import kinds
from neurosearch.config.schedule_node import ScheduleNode
from neurosearch.config.training import TrainingFields
from neurosearch.data.batches import ArrayBatches
from neurosearch.data.prepared import Arrays
from neurosearch.models import Mlp, MlpShape
from neurosearch.neurons import find_units, structure
from neurosearch.training.checkpoint import MemoryCheckpointStore
from neurosearch.training.losses import CrossEntropy
from neurosearch.training.tasks import Classification
from neurosearch.training.trainer import Trainer

EVENTS = EventsFields.model_validate(
    {
        "events": [
            {"epoch": 1, "add_share": 0.1},
            {"epoch": 2, "add_share": 0.2},
            {"epoch": 4, "remove_share": 0.3},
            {"epoch": 5, "remove_share": 0.2},
            {"epoch": 7, "add_share": 0.2},
        ],
        "importance": "l2",
    }
)


AS_PUBLISHED = NimbleFields(control="as_published", target_share=1.0, start_share=0.25, sharing="all")


@pytest.mark.parametrize("fields", [StaticFields(), PeriodicFields(), EVENTS, NimbleFields(), AS_PUBLISHED])
def test_the_fields_of_every_kind_make_a_policy_that_can_be_kept_and_gone_on_with(fields: Any) -> None:
    kind = kinds("growth")[fields.kind]
    policy, again = kind.build(fields), kind.build(fields)
    again.load_state_dict(policy.state_dict())
    assert again.state_dict().keys() == policy.state_dict().keys()


@pytest.mark.parametrize("fields", [PeriodicFields(grow_share=0.75, start="shared_copy"), NimbleFields(gate_width=2.0)])
def test_every_field_reaches_the_policys_settings(fields: Any) -> None:
    policy = kinds("growth")[fields.kind].build(fields)
    (settings,) = [value for value in vars(policy).values() if type(value).__name__.endswith("Settings")]
    given = fields.model_dump(exclude={"kind", "control"})
    assert {name: getattr(settings, name) for name in given} == given


def test_the_published_control_makes_a_policy_of_its_own() -> None:
    policy = kinds("growth")["nimble"].build(AS_PUBLISHED)
    (settings,) = [value for value in vars(policy).values() if type(value).__name__ == "MaskSettings"]
    assert (settings.start, settings.sharing, settings.size_coefficient) == (0.25, "all", 1.0)


def test_events_lead_to_what_was_added_and_not_yet_removed() -> None:
    policy = kinds("growth")["events"].build(EVENTS)
    (settings,) = [value for value in vars(policy).values() if type(value).__name__ == "EventsSettings"]
    found = [(event.epoch, event.share) for event in settings.events]
    assert found == [(1, 0.1), (2, 0.3), (4, 0.0), (5, -0.2), (7, 0.0)]
    assert (settings.start, settings.importance, settings.protected_share) == ("zero_outgoing", "l2", 0.0)


CPU = torch.device("cpu")
SCHEDULE = ScheduleNode.model_validate(
    {"search": "schedule", "cycles": {"low": 1, "high": 2}, "last_epoch": 4, "add_share": {"low": 0.1, "high": 2.0}}
)


def network() -> Mlp:
    torch.manual_seed(0)
    return Mlp(MlpShape((4,), (5, 1), 3, "relu", "batch", 0.0)).double()


def trainer(fields: EventsFields, epochs: int) -> Trainer:
    generator = np.random.default_rng(0)
    arrays = Arrays(generator.normal(size=(24, 4)), np.arange(24) % 3)
    batches = ArrayBatches(arrays, arrays, 8, 0, CPU, 3)
    task = Classification(CrossEntropy("cross_entropy", None), batches.class_counts, ["a", "b", "c"])
    training = replace(training_settings(TrainingFields(epochs=epochs), seed=0), importance_examples=4)
    policy = kinds("growth")["events"].build(fields)
    example = (torch.zeros(2, 4, dtype=torch.float64),)
    return Trainer(training, network(), batches, task, policy, MemoryCheckpointStore(), CPU, example)


@given(st.data())
@settings(deadline=None, max_examples=6)
def test_a_network_trained_by_a_drawn_schedule_ends_at_exactly_its_base_structure(data: st.DataObject) -> None:
    chosen: dict[str, Any] = {}
    for leaf in SCHEDULE.leaves:
        if leaf.exists(chosen):
            low, high = leaf.node.ends
            chosen[leaf.name] = data.draw(st.integers(1, 2) if leaf.name == "cycles" else st.floats(low, high))
    start = data.draw(st.sampled_from(["zero_outgoing", "symmetric_pair", "shared_copy"]))
    fields = EventsFields.model_validate({"events": SCHEDULE.value(chosen), "start": start, "protected_share": 0.25})
    training = trainer(fields, epochs=5)
    sizes = [{group.name: group.size for group in training.units.groups} for _ in training.epochs()]
    final, plain = training.finish(), network()
    inputs = (torch.zeros(2, 4, dtype=torch.float64),)
    assert structure(final.model, find_units(final.model, inputs)) == structure(plain, find_units(plain, inputs))
    assert {name: tensor.shape for name, tensor in final.model.state_dict().items()} == {
        name: tensor.shape for name, tensor in plain.state_dict().items()
    }
    changes = [(event.epoch, event.added - event.removed) for event in training.events]
    assert sum(change for _, change in changes) == 0
    assert sorted({epoch for epoch, _ in changes}) == [event.epoch for event in fields.events]
    assert len(sizes) == 5
    assert max(sizes[-1].values()) == 5
