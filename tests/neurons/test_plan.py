import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.neurons import Plan, SurgeryError, find_units, grow, prune


@pytest.fixture(scope="module")
def units(cases):
    return find_units(cases["cnn_flatten"].model(), (cases["cnn_flatten"].inputs(),))


@given(
    removed=st.lists(st.integers(0, 3), max_size=3, unique=True),
    added=st.integers(0, 5),
    seed=st.integers(0, 2**31),
)
def test_plans_survive_json_and_combine(units, removed, added, seed):
    first = prune(units, {"0": removed})
    second = grow(first.units_after(units), {"4": added}, generator=torch.Generator().manual_seed(seed))
    plan = first.combine(second)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(plan.to_json()).digest == plan.digest
    assert dict(plan.sizes_after) == {"0": 4 - len(removed), "4": 3 + added, "7": 5}
    assert plan.units_after(units).sizes == second.units_after(first.units_after(units)).sizes


def test_positions_are_sorted_and_counted_once(units):
    assert prune(units, {"0": [2, 0, 2]}).changes[0].removed == (0, 2)


def test_the_same_generator_state_gives_the_same_plan(units):
    plans = [grow(units, {"0": 1, "7": 2}, generator=torch.Generator().manual_seed(4)) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].changes[0].seed != plans[0].changes[1].seed


def test_the_order_of_groups_does_not_matter(units):
    assert prune(units, {"7": [0], "0": [1]}) == prune(units, {"0": [1], "7": [0]})


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda units: prune(units, {"10": [0]}), r"no group '10', did you mean '0'\?.*Groups: '0', '4', '7'"),
        (lambda units: prune(units, {"9": [0]}), r"It is frozen: it is an output of the network"),
        (lambda units: prune(units, {"0": [4]}), r"group 0: position 4 is out of range, it has 4 units \(0 to 3\)"),
        (lambda units: prune(units, {"0": [-1]}), r"position -1 is out of range"),
        (lambda units: prune(units, {"0": range(4)}), r"removing 4 of 4 units leaves fewer than 1. Remove at most 3"),
        (lambda units: grow(units, {"0": -2}), r"-2 new units were asked for. Use prune"),
        (lambda units: grow(units, {"0": 2}, start="symetric_pair"), r"unknown, did you mean 'symmetric_pair'"),
        (lambda units: grow(units, {"0": 3}, start="symmetric_pair"), r"3 new units cannot come in pairs"),
        (lambda units: grow(units, {"0": 3}, start="gradmax"), r"gradmax needs gradients"),
        (lambda units: grow(units, {"0": 3}, start="zero_incoming"), r"no slope at 0 \(relu\).*Use zero_outgoing"),
    ],
)
def test_what_cannot_be_planned_is_refused(units, plan, message):
    with pytest.raises(SurgeryError, match=message):
        plan(units)


def test_plans_that_do_not_follow_each_other_do_not_combine(units):
    with pytest.raises(SurgeryError, match=r"group 0 has 3 units, and the plan was made for 4.*Make it anew"):
        prune(units, {"0": [0]}).combine(prune(units, {"0": [1]}))


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"format_version": 9}'])
def test_other_text_is_no_plan(text):
    with pytest.raises(SurgeryError, match=r"no plan of format 1"):
        Plan.from_json(text)
