import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from neurosearch.neurons import SurgeryError, apply_plan, find_units, grow, operation, prune


def newest(units, counts):
    """Return the positions of units that a growth by some counts has added."""
    return {g.name: range(g.size, g.size + counts[g.name]) for g in units.groups if g.name in counts}


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
def test_parameters_stay_the_same_objects_and_old_units_train_on_as_before(growable, case, trained, kind):
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


def test_channels_last_weights_keep_their_memory_order(cases):
    model = cases["cnn_pool"].model().to(memory_format=torch.channels_last)
    inputs = cases["cnn_pool"].inputs().contiguous(memory_format=torch.channels_last)
    units = find_units(model, (inputs,))
    units = apply_plan(grow(units, {"0": 2}), model)
    apply_plan(prune(units, {"0": [0]}), model)
    assert model[4].weight.is_contiguous(memory_format=torch.channels_last)


def interrupting(num_lines):
    """Return a trace function that interrupts the lines of an operation at one of them."""
    left = [num_lines]

    def trace(frame, event, argument):
        if frame.f_code.co_filename != operation.__file__:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return trace

    return trace, left


def test_an_interruption_at_any_line_leaves_no_trace(cases, trained, snapshot, same):
    model, inputs = cases["scaled"].model(), cases["scaled"].inputs()
    optimizer = trained(model, inputs)
    average = copy.deepcopy(model)
    mapping = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    units = find_units(model, (inputs,))
    model(inputs).sum().backward()
    first = prune(units, {"first": [1], "second": [0, 3]})
    plan = first.combine(grow(first.units_after(units), {"second": 2}))
    before, before_average = snapshot(model, optimizer), snapshot(average)
    num_lines, is_over = 0, False
    while not is_over:
        num_lines += 7  # a number that no loop's length divides: another line of it each time
        former = sys.gettrace()
        trace, left = interrupting(num_lines)
        sys.settrace(trace)
        try:
            apply_plan(plan, model, optimizer, averaged=(average, mapping))
        except KeyboardInterrupt:
            sys.settrace(former)
            same(snapshot(model, optimizer), before)
            same(snapshot(average), before_average)
            assert all(torch.equal(mapping[name], before[name]) for name in mapping)
        finally:
            sys.settrace(former)
        is_over = left[0] > 0
    assert num_lines > 300


def test_factored_state_of_a_single_unit_follows(cases):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = find_units(model, (inputs,))
    units = apply_plan(prune(units, {"1": range(1, 6), "4": range(1, 5)}), model)
    optimizer = torch.optim.Adafactor(model.parameters())
    for number in (0, 2, 0):
        units = apply_plan(grow(units, {"1": number, "4": number}), model, optimizer)
        state, (rows, columns) = optimizer.state[model[4].weight], model[4].weight.shape
        assert not state or (state["row_var"].shape, state["col_var"].shape) == ((rows, 1), (1, columns))
        model(inputs).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_all_state_of_a_single_unit_follows_where_none_is_factored(cases, trained):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units = apply_plan(prune(find_units(model, (inputs,)), {"4": range(1, 5)}), model)
    optimizer = trained(model, inputs)
    apply_plan(grow(units, {"4": 2}), model, optimizer)
    assert optimizer.state[model[4].weight]["exp_avg"].shape == model[4].weight.shape


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2


def test_attributes_of_a_layer_with_a_computed_weight_agree_with_its_shape():
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 3, 1)).double()
    for layer in model[1:]:
        parametrize.register_parametrization(layer, "weight", Halved())
    inputs = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    apply_plan(prune(find_units(model, (inputs,)), {"0": [1]}), model)
    assert (model[1].groups, model[1].in_channels, model[1].out_channels, model[2].in_channels) == (3, 3, 3, 3)
    assert model(inputs).shape == (2, 3, 3, 3)


def test_attributes_of_a_layer_with_a_random_weight_are_read_without_drawing_random_numbers():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    parametrize.register_parametrization(model[2], "weight", nn.Dropout(0.5))
    units, state = find_units(model, (torch.randn(2, 4),)), torch.get_rng_state()
    apply_plan(prune(units, {"0": [1]}), model)
    assert model[2].in_features == 5
    assert torch.equal(torch.get_rng_state(), state)
    assert model[2].parametrizations.weight[0].training


def test_a_padding_row_of_zeros_stays_one_in_a_network_and_its_copies():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 4, padding_idx=0), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.embed(x).mean(1))

    model, inputs = Tokens(), torch.tensor([[1, 2, 0], [3, 0, 0]])
    average, mapping = copy.deepcopy(model), {name: value.clone() for name, value in model.state_dict().items()}
    units = find_units(model, (inputs,))
    apply_plan(grow(units, {"embed": 2}), model, averaged=(average, mapping))
    for weight in (model.embed.weight, average.embed.weight, mapping["embed.weight"]):
        assert (weight[0] == 0).all()
        assert (weight[1:, 4:] != 0).all()


def test_a_sparse_gradient_is_refused_until_it_is_gone(snapshot, same):
    model = nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    inputs, optimizer = torch.tensor([[1, 2], [3, 0]]), torch.optim.SGD(model.parameters(), lr=0.1)
    units = find_units(model, (inputs,))
    model(inputs).sum().backward()
    before = snapshot(model[1:])
    with pytest.raises(SurgeryError, match=r"0\.weight has a sparse gradient.*optimizer\.zero_grad\(\)"):
        apply_plan(prune(units, {"0": [1]}), model, optimizer)
    same(snapshot(model[1:]), before)
    optimizer.zero_grad()
    apply_plan(prune(units, {"0": [1]}), model, optimizer)
    assert model(inputs).shape == (2, 3)
