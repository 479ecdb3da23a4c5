import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from neurosearch.neurons import SurgeryError, apply_plan, certify, find_units, gated_parameters, grow, prune

EXACT = 1e-11
some = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def newest(units, counts):
    """Return the positions of units that a growth by some counts has added."""
    return {g.name: range(g.size, g.size + counts[g.name]) for g in units.groups if g.name in counts}


def draw_case(data, cases):
    return cases[data.draw(st.sampled_from(sorted(cases)), label="network")]


def draw_positions(data, units, *, only=None):
    positions = {}
    for group in units.groups:
        if only is None or group.name in only:
            most = group.size - group.minimum
            chosen = data.draw(st.lists(st.integers(0, group.size - 1), max_size=most, unique=True), label=group.name)
            positions[group.name] = chosen
    return positions


def masked_outputs(model, units, positions, inputs):
    gates = {}
    for name, removed in positions.items():
        gate = torch.ones(units.groups[units.layout.index[name]].size, dtype=torch.float64)
        gate[list(removed)] = 0
        gates[name] = gate
    return functional_call(model, gated_parameters(model, units, gates), (inputs,)).detach()


@some
@given(data=st.data(), training=st.booleans())
def test_pruning_equals_masking(cases, training, data):
    case = draw_case(data, cases)
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    plain = {facts.name for facts in units.layout.groups if "normalised" not in facts.obstacles}
    positions = draw_positions(data, units, only=plain)
    model.train(training)
    expected = masked_outputs(copy.deepcopy(model), units, positions, inputs)
    apply_plan(prune(units, positions), model)
    assert (model(inputs) - expected).abs().max() < EXACT


@some
@given(
    data=st.data(),
    kind=st.sampled_from(["adamw", "fused", "sgd"]),
    start=st.sampled_from(["zero_outgoing", "symmetric_pair", "zero_incoming", "gated"]),
)
def test_growing_and_pruning_the_new_units_leaves_no_trace(growable, cases, trained, snapshot, same, kind, data, start):
    case = draw_case(data, cases)
    model, inputs = case.model(), case.inputs()
    optimizer = trained(model, inputs, kind)
    average = AveragedModel(model)
    mapping = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    units = find_units(model, (inputs,))
    counts = {name: 2 * data.draw(st.integers(0, 2)) for name in growable(units, start)}
    model(inputs).sum().backward()
    before, before_average = snapshot(model, optimizer), snapshot(average)
    before_mapping = {name: tensor.clone() for name, tensor in mapping.items()}
    grown = grow(units, counts, start=start)
    back = prune(grown.units_after(units), newest(units, counts))
    if data.draw(st.booleans()):
        apply_plan(grown.combine(back), model, optimizer, averaged=(average, mapping))
    else:
        apply_plan(grown, model, optimizer, averaged=(average, mapping))
        apply_plan(back, model, optimizer, averaged=(average, mapping))
    same(snapshot(model, optimizer), before)
    same(snapshot(average), before_average)
    same(mapping, before_mapping)


@some
@given(data=st.data())
def test_two_prunings_equal_one_and_the_order_of_groups_is_irrelevant(cases, trained, snapshot, same, data):
    case = draw_case(data, cases)
    inputs = case.inputs()
    first, second, third = (case.model() for _ in range(3))
    optimizers = [trained(model, inputs) for model in (first, second, third)]
    units = find_units(first, (inputs,))
    positions = draw_positions(data, units)
    part = {
        name: data.draw(st.sets(st.sampled_from(chosen))) if chosen else set() for name, chosen in positions.items()
    }
    rest = {name: set(chosen) - part[name] for name, chosen in positions.items()}
    shifted = {name: [p - sum(q < p for q in part[name]) for p in chosen] for name, chosen in rest.items()}
    apply_plan(prune(units, positions), first, optimizers[0])
    middle = apply_plan(prune(units, part), second, optimizers[1])
    apply_plan(prune(middle, shifted), second, optimizers[1])
    current = units
    for name in reversed(list(positions)):
        current = apply_plan(prune(current, {name: positions[name]}), third, optimizers[2])
    same(snapshot(first, optimizers[0]), snapshot(second, optimizers[1]))
    same(snapshot(first, optimizers[0]), snapshot(third, optimizers[2]))


@some
@given(data=st.data())
def test_reported_units_are_those_of_a_fresh_search(growable, cases, data):
    case = draw_case(data, cases)
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    for _ in range(2):
        units = apply_plan(grow(units, {name: data.draw(st.integers(0, 3)) for name in growable(units)}), model)
        units = apply_plan(prune(units, draw_positions(data, units)), model)
        certify(model, units, (inputs,))
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name in units.layout.tensors:
                assert units.shape(name) == tuple(tensor.shape)


def test_an_empty_plan_changes_nothing(case, snapshot, same):
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    before = snapshot(model)
    plan = prune(units, {group.name: [] for group in units.groups}).combine(
        grow(units, {g.name: 0 for g in units.groups})
    )
    assert apply_plan(plan, model) == units
    assert plan.steps == ()
    same(snapshot(model), before)


def test_inputs_and_outputs_keep_their_width(case):
    model, inputs = case.model().eval(), case.inputs()
    units = find_units(model, (inputs,))
    smallest = {g.name: range(g.minimum, g.size) for g in units.groups}
    apply_plan(prune(units, smallest), model)
    assert model(inputs).shape == (len(inputs), 3)
    assert all(group.size == group.minimum for group in find_units(model, (inputs,)).groups)


def test_whole_heads_go_everywhere_at_once(cases):
    model, inputs = cases["transformer"].model(), cases["transformer"].inputs()
    units = find_units(model, (inputs,))
    apply_plan(prune(units, {"qkv": [0]}), model)
    assert (model.num_heads, model.head_dim) == (2, 2)
    assert model.qkv.weight.shape == (12, 6)
    assert model.out.weight.shape == (6, 4)


def test_a_failure_in_the_second_step_takes_the_first_one_back(cases, trained, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    optimizer = trained(model, inputs)
    units = find_units(model, (inputs,))
    first = grow(units, {"1": 2})
    plan = first.combine(prune(first.units_after(units), {"4": [0]}))
    optimizer.state[model[7].weight]["exp_avg"] = torch.ones(7)  # of a shape of its own
    before = snapshot(model, optimizer)
    with pytest.raises(SurgeryError, match=r"'exp_avg' of 7\.weight in shape \(7,\)"):
        apply_plan(plan, model, optimizer)
    same(snapshot(model, optimizer), before)


def test_a_plan_for_another_structure_is_refused(cases, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = find_units(model, (inputs,))
    plan = prune(units, {"1": [0]})
    apply_plan(plan, model)
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=r"1\.weight of the model is of shape \(5, 6\), but its units say \(6, 6\)"):
        apply_plan(plan, model)
    same(snapshot(model), before)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_an_averaged_copy_with_the_names_of_a_wrapper_is_refused(cases, snapshot, same, prefix):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    average = {f"{prefix}{name}": value.clone() for name, value in model.state_dict().items()}
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=rf"names its tensors '{prefix}1.weight' .* stay at the old widths"):
        apply_plan(prune(units, {"1": [0]}), model, averaged=(average,))
    same(snapshot(model), before)
    plain = {name.removeprefix(prefix): value for name, value in average.items()}
    apply_plan(prune(units, {"1": [0]}), model, averaged=(plain,))
    assert plain["1.weight"].shape == model[1].weight.shape


def test_a_list_is_refused_as_an_averaged_copy(cases):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    with pytest.raises(SurgeryError, match="A list was given as an averaged copy. Pass a module"):
        apply_plan(prune(units, {"1": [0]}), model, averaged=(list(model.parameters()),))


@pytest.mark.parametrize("grows", [False, True])
def test_an_averaged_copy_holds_a_tied_tensor_under_all_its_names(grows):
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4), torch.nn.Linear(4, 5))
    model.append(torch.nn.Linear(5, 2))
    model[3].weight = model[0].weight
    units = find_units(model, (torch.randn(2, 4),))
    average = {name: value.clone() for name, value in model.state_dict().items()}
    name = units.groups[0].name
    apply_plan(grow(units, {name: 2}) if grows else prune(units, {name: [1]}), model, averaged=(average,))
    model.load_state_dict(average)
