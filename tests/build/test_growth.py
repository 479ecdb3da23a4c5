from typing import Any

import pytest

from neurosearch.config.growth import NimbleFields, PeriodicFields, StaticFields
from neurosearch.config.kinds import kinds


@pytest.mark.parametrize("fields", [StaticFields(), PeriodicFields(), NimbleFields()])
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
