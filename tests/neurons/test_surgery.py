import copy
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from neurosearch.neurons import (
    SurgeryError,
    apply_plan,
    certify,
    find_units,
    gated_parameters,
    grow,
    prune,
)

EXACT = 1e-11
some = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
undone_starts = st.sampled_from(["zero_outgoing", "symmetric_pair", "zero_incoming", "gated"])
optimizers = st.sampled_from(["adamw", "fused", "sgd"])
starts = st.sampled_from(["zero_outgoing", "symmetric_pair", "shared_copy", "zero_incoming"])


def draw_case(data, cases):
    return cases[data.draw(st.sampled_from(sorted(cases)), label="network")]


def growable(units, start="zero_outgoing"):
    names = []
    for group in units.groups:
        try:
            grow(units, {group.name: 2}, start=start)
        except SurgeryError:
            continue
        names.append(group.name)
    return names


def draw_positions(data, units, *, only=None):
    positions = {}
    for group in units.groups:
        if only is None or group.name in only:
            most = group.size - group.minimum
            chosen = data.draw(st.lists(st.integers(0, group.size - 1), max_size=most, unique=True), label=group.name)
            positions[group.name] = chosen
    return positions


def newest(units, counts):
    """Return the positions of units that a growth by some counts has added."""
    sizes = {group.name: group.size for group in units.groups}
    return {name: range(sizes[name], sizes[name] + count) for name, count in counts.items()}


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
@given(data=st.data(), training=st.booleans(), start=starts)
def test_growing_keeps_the_function_and_the_running_statistics(cases, trained, training, data, start):
    case = draw_case(data, cases)
    model, inputs = case.model(), case.inputs()
    trained(model, inputs)
    units = find_units(model, (inputs,))
    model.train(training)
    counts = {name: 2 * data.draw(st.integers(0, 2)) for name in growable(units, start)}
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    after = apply_plan(grow(units, counts, start=start, generator=generator), model)
    assert after.sizes == tuple(group.size + counts.get(group.name, 0) for group in units.groups)
    assert (model(inputs) - twin(inputs)).abs().max() < EXACT
    restored = apply_plan(prune(after, newest(units, counts)), model)
    assert restored == units
    for (name, old), (_, new) in zip(twin.named_buffers(), model.named_buffers(), strict=True):
        assert torch.allclose(old.double(), new.double(), rtol=0, atol=EXACT), name


@some
@given(
    data=st.data(),
    kind=optimizers,
    start=st.sampled_from(["zero_outgoing", "symmetric_pair", "zero_incoming", "gated"]),
)
def test_growing_and_pruning_the_new_units_leaves_no_trace(cases, trained, snapshot, same, kind, data, start):
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
def test_reported_units_are_those_of_a_fresh_search(cases, data):
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


def test_attributes_agree_with_shapes_and_copies_work(case):
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    plan = prune(units, {group.name: [0] for group in units.groups if group.size > group.minimum})
    apply_plan(plan, model)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            assert (module.out_features, module.in_features) == tuple(module.weight.shape)
        if isinstance(module, nn.Conv2d):
            assert (module.out_channels, module.in_channels // module.groups) == tuple(module.weight.shape[:2])
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            assert module.num_features == len(module.running_mean)
    assert torch.equal(copy.deepcopy(model).eval()(inputs), model.eval()(inputs))
    assert repr(model)


@pytest.mark.parametrize("kind", ["adamw", "fused", "sgd"])
def test_parameters_stay_the_same_objects_and_old_units_train_on_as_before(case, trained, kind):
    model, inputs = case.model(), case.inputs()
    optimizer = trained(model, inputs, kind)
    twin = case.model()
    twin_optimizer = trained(twin, inputs, kind)
    units = find_units(model, (inputs,))
    names = growable(units)
    objects = [id(parameter) for parameter in model.parameters()]
    held = [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    after = apply_plan(grow(units, dict.fromkeys(names, 2)), model, optimizer)
    assert [id(parameter) for parameter in model.parameters()] == objects
    assert [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups] == held
    for one, one_optimizer in ((model, optimizer), (twin, twin_optimizer)):
        outputs = one(inputs)
        outputs.backward(torch.ones_like(outputs))
        one_optimizer.step()
    # New units get a step, too, in outgoing weights that are no longer 0: drop them before comparing the old ones.
    apply_plan(prune(after, newest(units, dict.fromkeys(names, 2))), model, optimizer)
    for (name, one), (_, other) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-9), name


def test_moments_of_new_units_are_zero(cases, trained):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    optimizer = trained(model, inputs)
    apply_plan(grow(find_units(model, (inputs,)), {"1": 3}), model, optimizer)
    for key in ("exp_avg", "exp_avg_sq"):
        assert (optimizer.state[model[1].weight][key][6:] == 0).all()
        assert (optimizer.state[model[4].weight][key][:, 6:] == 0).all()
    assert optimizer.state[model[1].weight]["step"] == 2


@pytest.mark.parametrize("start", ["zero_outgoing", "symmetric_pair", "shared_copy", "zero_incoming"])
def test_new_units_get_gradients_within_two_steps_and_never_have_both_sides_zero(case, trained, start):
    model, inputs = case.model(), case.inputs(16)
    trained(model, inputs)
    units = find_units(model, (inputs,))
    for name in growable(units, start):
        if "dead_at_zero" in units.layout.groups[units.layout.index[name]].obstacles:
            continue  # a rectified unit may be silent for all these inputs by chance
        twin = copy.deepcopy(model)
        twin_optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        after = apply_plan(grow(units, {name: 2}, start=start), twin, twin_optimizer)
        index = units.layout.index[name]
        new = slice(units.sizes[index], None)
        seen = torch.zeros(2, dtype=torch.bool)
        for _ in range(2):
            twin_optimizer.zero_grad()
            outputs = twin(inputs)
            outputs.backward(
                torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(3))
            )
            values = {key: parameter.grad for key, parameter in twin.named_parameters()}
            seen |= unit_norms(after, index, values)[new] > 0
            twin_optimizer.step()
        assert seen.all(), name
        assert (unit_norms(after, index, dict(twin.named_parameters()))[new] > 0).all(), name


def unit_norms(units, index, tensors):
    from neurosearch.neurons.squares import sums_of_squares

    inside = {name: value.detach() for name, value in tensors.items() if name in units.layout.tensors}
    return sums_of_squares(units, inside)[index]


def test_hooks_stay(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    calls = []
    model[1].weight.register_hook(lambda gradient: calls.append(tuple(gradient.shape)))
    model[1].register_forward_hook(lambda *_: calls.append("forward"))
    units = find_units(model, (inputs,))
    calls.clear()
    apply_plan(grow(units, {"1": 2}), model)
    model(inputs).sum().backward()
    assert calls == ["forward", (8, 6)]


def test_tied_weights_stay_tied_and_frozen_ones_frozen(cases):
    model, inputs = cases["tied"].model(), cases["tied"].inputs()
    model.copy = nn.Linear(4, 4)
    model.copy.weight = model.again.weight
    model.hidden.weight.requires_grad_(requires_grad=False)
    units = find_units(model, (inputs,))
    apply_plan(prune(units, {"hidden": [1], "encode": [0, 2]}), model)
    assert model.copy.weight is model.again.weight
    assert model.copy.weight.shape == (3, 3)
    assert (model.copy.in_features, model.copy.out_features) == (3, 3)
    assert not model.hidden.weight.requires_grad


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


def test_a_live_graph_is_refused_and_everything_is_as_before(cases, trained, snapshot, same):
    model, inputs = cases["cnn_flatten"].model(), cases["cnn_flatten"].inputs()
    optimizer = trained(model, inputs)
    units = find_units(model, (inputs,))
    alive = model(inputs)
    before = snapshot(model, optimizer)
    with pytest.raises(SurgeryError, match=r"autograd graph .* still holds 0\.weight"):
        apply_plan(grow(units, {"0": 1, "7": 2}), model, optimizer)
    same(snapshot(model, optimizer), before)
    alive.sum().backward()
    optimizer.step()
    del alive
    apply_plan(grow(units, {"0": 1, "7": 2}), model, optimizer)


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


def test_an_optimizer_of_another_model_is_refused(cases, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = find_units(model, (inputs,))
    before = snapshot(model)
    stranger = torch.optim.AdamW(cases["mlp"].model().parameters())
    with pytest.raises(SurgeryError, match=r"does not hold 1\.weight"):
        apply_plan(prune(units, {"1": [0]}), model, stranger)
    same(snapshot(model), before)


def test_an_optimizer_may_hold_more_than_the_model(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    extra = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([*model.parameters(), extra])
    apply_plan(prune(find_units(model, (inputs,)), {"1": [0]}), model, optimizer)
    model(inputs).sum().backward()
    optimizer.step()


def test_a_plan_for_another_structure_is_refused(cases, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = find_units(model, (inputs,))
    plan = prune(units, {"1": [0]})
    apply_plan(plan, model)
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=r"1\.weight of the model is of shape \(5, 6\), but its units say \(6, 6\)"):
        apply_plan(plan, model)
    same(snapshot(model), before)


def test_factored_optimizer_state_follows(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    optimizer = torch.optim.Adafactor(model.parameters())
    for _ in range(2):
        model(inputs).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    units = apply_plan(prune(find_units(model, (inputs,)), {"1": [0, 3]}), model, optimizer)
    apply_plan(grow(units, {"1": 1}), model, optimizer)
    model(inputs).sum().backward()
    optimizer.step()
    assert optimizer.state[model[1].weight]["row_var"].shape == (5, 1)


def test_the_same_seed_gives_the_same_bytes(case):
    inputs = case.inputs()
    results = []
    for _ in range(2):
        model = case.model()
        units = find_units(model, (inputs,))
        plan = grow(units, dict.fromkeys(growable(units), 3), generator=torch.Generator().manual_seed(5))
        apply_plan(plan, model)
        results.append((plan.to_json(), model.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(value, results[1][1][name]) for name, value in results[0][1].items())


def test_channels_last_weights_keep_their_memory_order(cases):
    model = cases["cnn_pool"].model().to(memory_format=torch.channels_last)
    inputs = cases["cnn_pool"].inputs().contiguous(memory_format=torch.channels_last)
    units = find_units(model, (inputs,))
    units = apply_plan(grow(units, {"0": 2}), model)
    apply_plan(prune(units, {"0": [0]}), model)
    assert model[4].weight.is_contiguous(memory_format=torch.channels_last)


def test_growth_of_a_normalised_group_is_refused_unless_allowed(cases):
    model, inputs = cases["transformer"].model(), cases["transformer"].inputs()
    units = find_units(model, (inputs,))
    with pytest.raises(SurgeryError, match=r"embed cannot grow with zero_outgoing: a mean or variance .*norm1"):
        grow(units, {"embed": 1})
    apply_plan(grow(units, {"embed": 1}, allow_inexact=True), model)
    assert model.norm1.normalized_shape == (7,)
    assert math.isfinite(model(inputs).sum().item())


def test_whole_heads_go_everywhere_at_once(cases):
    model, inputs = cases["transformer"].model(), cases["transformer"].inputs()
    units = find_units(model, (inputs,))
    apply_plan(prune(units, {"qkv": [0]}), model)
    assert (model.num_heads, model.head_dim) == (2, 2)
    assert model.qkv.weight.shape == (12, 6)
    assert model.out.weight.shape == (6, 4)
