import copy

import pytest
import torch
from torch import nn

from neurosearch.neurons import (
    Merge,
    Plan,
    SurgeryError,
    apply_plan,
    find_units,
    merge_refusals,
    merges_of,
    near_duplicates,
    prune,
)

THIRD = [Merge(2, 0, 1.0)]


def merging(model, units, name, removed, threshold=1.0):
    twins = near_duplicates(model, units, threshold)[name]
    return prune(units, {name: removed}, {name: merges_of(twins, removed)})


@torch.no_grad()
def both_modes(model, inputs):
    """Outputs in evaluation and in training."""
    return torch.stack([copy.deepcopy(model).train(training)(inputs) for training in (False, True)])


def test_pruning_an_exact_duplicate_keeps_the_function(case, twin):
    inputs = case.inputs()
    units = find_units(case.model(), (inputs,))
    merged = [group for group in units.groups if group.name not in merge_refusals(units) and group.size > group.minimum]
    for group in merged:
        model = case.model()
        twin(model, units, group.name, group.size - 1, 0)
        before = both_modes(model, inputs)
        plan = merging(model, units, group.name, [group.size - 1])
        assert plan.changes[0].merged == (Merge(group.size - 1, 0, 1.0),)
        apply_plan(plan, model)
        assert (both_modes(model, inputs) - before).abs().max() < 1e-12


@pytest.mark.parametrize("kind", ["mlp", "cnn_flatten"])
def test_without_merging_the_function_is_another_one(cases, twin, kind):
    inputs = cases[kind].inputs()
    model = cases[kind].model()
    units = find_units(model, (inputs,))
    group = units.groups[0]
    twin(model, units, group.name, 1, 0)
    before = both_modes(model, inputs)
    apply_plan(prune(units, {group.name: [1]}), model)
    assert (both_modes(model, inputs) - before).abs().max() > 1e-3


def test_units_in_proportion_are_merged_by_the_ratio_of_their_lengths(twin):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    ).double()
    inputs = torch.randn(4, 2, 10, 10, dtype=torch.float64)
    units = find_units(model, (inputs,))
    for name in ("0", "3"):
        twin(model, units, name, 1, 3, factor=2.5)
        twin(model, units, name, 0, 3, factor=0.1)
    before = both_modes(model, inputs)
    plan = merging(model, units, "0", [0, 1])
    assert [(one.source, one.target) for one in plan.changes[0].merged] == [(0, 3), (1, 3)]
    assert [one.factor for one in plan.changes[0].merged] == pytest.approx([0.1, 2.5])
    units = apply_plan(plan, model)
    plan = merging(model, units, "3", [3])  # the longer ones stay: the most alike one, in a tie the earlier
    assert plan.changes[0].merged == (Merge(3, 0, pytest.approx(10.0)),)
    apply_plan(plan, model)
    assert (both_modes(model, inputs) - before).abs().max() < 1e-12


def test_copies_of_the_network_are_merged_with_it(cases, twin):
    inputs = cases["mlp"].inputs()
    model = cases["mlp"].model()
    units = find_units(model, (inputs,))
    twin(model, units, "1", 2, 0)
    copied, mapped = copy.deepcopy(model), {name: one.detach().clone() for name, one in model.named_parameters()}
    apply_plan(merging(model, units, "1", [2]), model, None, (copied, mapped))
    own = dict(model.named_parameters())
    assert all(torch.equal(one, own[name]) for name, one in copied.named_parameters())
    assert all(torch.equal(one, own[name]) for name, one in mapped.items())


def test_moments_are_those_of_the_unit_that_stays(cases, twin, trained):
    inputs = cases["mlp"].inputs()
    model, plain = cases["mlp"].model(), cases["mlp"].model()
    states = []
    for one, merged in ((model, {"1": THIRD}), (plain, {})):
        optimizer = trained(one, inputs)
        units = find_units(one, (inputs,))
        apply_plan(prune(units, {"1": [2]}, merged), one, optimizer)
        states.append([optimizer.state[parameter]["exp_avg"] for parameter in one.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*states, strict=True))
    same = [torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)]
    assert [name for (name, _), is_same in zip(model.named_parameters(), same, strict=True) if not is_same] == [
        "4.weight"
    ]


class Fails(dict):
    """A copy of the network that cannot be written to at first."""

    fails = True

    def __setitem__(self, key, value):
        if self.fails and key == "4.weight":
            self.fails = False
            raise RuntimeError(f"no {key}")
        super().__setitem__(key, value)


def test_a_plan_that_fails_leaves_everything_bit_for_bit_as_before(cases, trained, snapshot, same):
    inputs = cases["mlp"].inputs()
    model = cases["mlp"].model()
    optimizer = trained(model, inputs)
    units = find_units(model, (inputs,))
    copied = Fails((name, one.detach().clone()) for name, one in model.named_parameters())
    before, kept = snapshot(model, optimizer), {name: one.clone() for name, one in copied.items()}
    with pytest.raises(SurgeryError, match="nothing changed"):
        apply_plan(prune(units, {"1": [2, 4]}, {"1": [*THIRD, Merge(4, 0, 0.3)]}), model, optimizer, (copied,))
    same(before, snapshot(model, optimizer))
    assert all(torch.equal(one, kept[name]) for name, one in copied.items())


@pytest.mark.parametrize(
    ("merged", "message"),
    [
        ([Merge(1, 0, 1.0)], "unit 1 is to be merged and stays"),
        ([Merge(2, 3, 1.0)], "unit 2 is to be merged into 3, which is not there afterwards"),
        ([Merge(2, 9, 1.0)], "unit 2 is to be merged into 9, which is not there afterwards"),
        ([Merge(2, 0, 1.0), Merge(2, 1, 1.0)], "a unit is merged twice"),
        ([Merge(2, 0, float("inf"))], "unit 2 is to be merged times inf"),
        ([Merge(2, 0, -1.0)], "unit 2 is to be merged times -1"),
    ],
)
def test_merges_that_do_not_fit_are_refused(cases, merged, message):
    units = find_units(cases["mlp"].model(), (cases["mlp"].inputs(),))
    with pytest.raises(SurgeryError, match=f"group 1: {message}"):
        prune(units, {"1": [2, 3]}, {"1": merged})
    good = prune(units, {"1": [2, 3]}, {"1": THIRD}).to_json()
    assert Plan.from_json(good).changes[0].merged == tuple(THIRD)
    with pytest.raises(SurgeryError, match="group 1: unit 2 is to be merged into 3"):
        Plan.from_json(good.replace("[[2,0,1.0]]", "[[2,3,1.0]]"))


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("transformer", "embed", r"a mean or variance is taken over its units \(layer_norm in norm1"),
        ("transformer", "qkv", r"each of its units is several rows of qkv\.weight, as an attention head is"),
        ("tied", "encode", r"one tensor does two things for its units"),
        ("gru", "rnn", r"each of its units is several rows of rnn\.weight_ih_l0"),
    ],
)
def test_groups_whose_weights_are_used_otherwise_are_refused_by_name(cases, kind, name, why):
    model, inputs = cases[kind].model(), cases[kind].inputs()
    units = find_units(model, (inputs,))
    assert name not in near_duplicates(model, units, 0.5)
    with pytest.raises(SurgeryError, match=f"group {name} cannot be merged: {why}.*Prune it without merging"):
        prune(units, {name: [1]}, {name: [Merge(1, 0, 1.0)]})
