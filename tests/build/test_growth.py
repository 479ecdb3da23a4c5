from typing import Any

import pytest

from neurosearch.config.growth import EventsFields, NimbleFields, PeriodicFields, StaticFields
from neurosearch.config.kinds import kinds

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


@pytest.mark.parametrize("fields", [StaticFields(), PeriodicFields(), EVENTS, NimbleFields()])
def test_the_fields_of_every_kind_make_a_policy_that_can_be_kept_and_gone_on_with(fields: Any) -> None:
    kind = kinds("growth")[fields.kind]
    policy, again = kind.build(fields), kind.build(fields)
    again.load_state_dict(policy.state_dict())
    assert again.state_dict().keys() == policy.state_dict().keys()


@pytest.mark.parametrize("fields", [PeriodicFields(grow_share=0.75, start="shared_copy"), NimbleFields(gate_width=2.0)])
def test_every_field_reaches_the_policys_settings(fields: Any) -> None:
    policy = kinds("growth")[fields.kind].build(fields)
    (settings,) = [value for value in vars(policy).values() if type(value).__name__.endswith("Settings")]
    given = fields.model_dump(exclude={"kind"})
    assert {name: getattr(settings, name) for name in given} == given


def test_events_lead_to_what_was_added_and_not_yet_removed() -> None:
    policy = kinds("growth")["events"].build(EVENTS)
    (settings,) = [value for value in vars(policy).values() if type(value).__name__ == "EventsSettings"]
    found = [(event.epoch, event.share) for event in settings.events]
    assert found == [(1, 0.1), (2, 0.3), (4, 0.0), (5, -0.2), (7, 0.0)]
    assert (settings.start, settings.importance, settings.protected_share) == ("zero_outgoing", "l2", 0.0)
