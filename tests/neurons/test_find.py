import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, find_units, prune
from neurosearch.neurons.labels import Obstacle

EXPECTED = {
    "mlp": {"1": 6, "4": 5},
    "mlp_relu": {"1": 5, "3": 4, "5": 3},
    "cnn_flatten": {"0": 4, "4": 3, "7": 5},
    "cnn_pool": {"0": 4, "4": 6},
    "residual": {"stem.0": 4, "inner": 5, "project": 6},
    "concat": {"first": 3, "second": 4},
    "depthwise": {"stem": 4, "expand": 6, "squeeze": 2},
    "shuffle": {"stem": 4, "first": 3, "second": 4, "branch": 4},
    "transformer": {"embed": 6, "qkv": 3, "up": 6},
    "rnn": {"first": 4, "rnn": 5},
    "gru": {"first": 4, "rnn": 5},
    "lstm_bidirectional": {"first": 4, "rnn": 5},
    "tied": {"encode": 5, "hidden": 4},
    "unet": {"down1": 4, "down2": 6, "up": 5, "last": 4},
    "scaled": {"first": 5, "second": 4},
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_groups_and_their_sizes(cases, name):
    units = find_units(cases[name].model(), (cases[name].inputs(),))
    assert {group.name: group.size for group in units.groups} == EXPECTED[name]


def test_a_group_names_the_tensors_it_touches(cases):
    units = find_units(cases["cnn_flatten"].model(), (cases["cnn_flatten"].inputs(),))
    assert set(units.groups[0].tensors) == {
        "0.weight",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "4.weight",
    }


def test_a_flattened_channel_owns_a_run_of_columns(cases):
    model, inputs = cases["cnn_flatten"].model(), cases["cnn_flatten"].inputs()
    units = find_units(model, (inputs,))
    old = model[7].weight.detach().clone()
    apply_plan(prune(units, {"4": [1]}), model)
    assert torch.equal(model[7].weight, torch.cat([old[:, :16], old[:, 32:]], 1))


def test_inputs_and_outputs_are_frozen_with_their_reason(cases):
    units = find_units(cases["mlp"].model(), (cases["mlp"].inputs(),))
    frozen = {(one.tensor, one.dimension): one.reason for one in units.frozen}
    assert frozen["7.weight", 0] == "it is an output of the network"
    assert "fixed size (an input" in frozen["1.weight", 1]


def test_tracing_changes_nothing(case, snapshot, same):
    model, inputs = case.model(), case.inputs()
    model(inputs).sum().backward()
    model.train()
    next(iter(model.children())).eval()
    before, modes = snapshot(model), [module.training for module in model.modules()]
    attributes = [dict(vars(module)) for module in model.modules()]
    for module in model.modules():
        module.unknown = object()  # no two traces are the same
    find_units(model, (inputs,))
    for module in model.modules():
        del module.unknown
    same(snapshot(model), before)
    assert [module.training for module in model.modules()] == modes
    assert [vars(module).keys() for module in model.modules()] == [one.keys() for one in attributes]


def test_the_trace_is_kept_per_structure(cases):
    first = find_units(cases["mlp"].model(0), (cases["mlp"].inputs(),))
    second = find_units(cases["mlp"].model(1), (cases["mlp"].inputs(),))
    other = find_units(cases["mlp_relu"].model(), (cases["mlp_relu"].inputs(),))
    assert second is first
    assert other.digest != first.digest


def test_models_with_another_activation_are_another_structure(cases):
    model = cases["mlp"].model()
    first = find_units(model, (cases["mlp"].inputs(),))
    model[3] = nn.ReLU()
    assert find_units(model, (cases["mlp"].inputs(),)) is not first


def test_the_layout_is_the_same_at_any_width(cases):
    for case in cases.values():
        model, inputs = case.model(), case.inputs()
        units = find_units(model, (inputs,))
        positions = {group.name: [0] for group in units.groups if group.size > group.minimum}
        after = apply_plan(prune(units, positions), model)
        assert find_units(model, (inputs,)).layout.digest == after.layout.digest == units.layout.digest


def test_an_operation_without_a_rule_freezes_what_touches_it_and_nothing_else():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(torch.relu(self.second(torch.cdist(self.first(x), self.first(x)) @ self.first(x))))

    units = find_units(Odd(), (torch.randn(3, 4),))
    assert [group.name for group in units.groups] == ["second"]
    assert any("cdist" in one.reason and one.tensor == "first.weight" for one in units.frozen)


def test_code_that_holds_on_to_a_size_freezes_that_size_only():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(torch.relu(self.second(torch.relu(self.first(x)).view(-1, 6))))

    units = find_units(Stubborn(), (torch.randn(3, 4),))
    assert [group.name for group in units.groups] == ["second"]
    assert any("at another width" in one.reason and one.tensor == "first.weight" for one in units.frozen)


def test_an_attribute_that_code_reads_a_size_from_follows_the_size():
    class Attribute(nn.Module):
        def __init__(self):
            super().__init__()
            self.width = 6
            self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(torch.relu(self.first(x)).view(-1, self.width))

    model = Attribute()
    units = find_units(model, (torch.randn(3, 4),))
    apply_plan(prune(units, {"first": [0, 2]}), model)
    assert model.width == 4
    assert model(torch.randn(3, 4)).shape == (3, 2)


def test_code_that_needs_values_is_traced_with_the_given_inputs(snapshot, same):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.head = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)

        def forward(self, x):
            hidden = self.norm(self.first(x))
            return self.head(torch.relu(hidden) if x.sum() > -1e9 else hidden)

    model, inputs = Branching(), torch.randn(3, 4)
    before = snapshot(model)
    units = find_units(model, (inputs,))
    assert [(group.name, group.size) for group in units.groups] == [("first", 6)]
    same(snapshot(model), before)


def test_code_that_chooses_its_way_by_a_value_is_traced_for_each():
    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x, both):
            hidden = self.first(x)
            return self.head(hidden + self.second(x) if both else hidden)

    model, x = Choosing(), torch.randn(3, 4)
    names = {flag: find_units(model, (x, torch.tensor(flag))).groups[0].tensors for flag in (False, True)}
    assert "second.weight" not in names[False]
    assert "second.weight" in names[True]
    assert find_units(model, (x, torch.tensor(True))) is find_units(model, (x, torch.tensor(True)))


def test_a_branch_taken_in_training_alone_is_seen():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head, self.side = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            hidden = F.relu(self.first(x))
            return (self.head(hidden), self.side(hidden)) if self.training else self.head(hidden)

    model = Auxiliary()
    units = find_units(model, (torch.randn(3, 4),))
    apply_plan(prune(units, {"first": [1]}), model)
    assert [out.shape for out in model.train()(torch.randn(3, 4))] == [(3, 2), (3, 2)]


def mixed(module, hidden, after):
    return hidden + after if module.training else after


class Mixing(nn.Module):
    """Adds two layers in training alone, and says so in another place than its forward."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def mix(self, hidden, after):
        return mixed(self, hidden, after)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.head(self.mix(hidden, torch.relu(self.second(hidden))))


class MixingInMethod(Mixing):
    def mix(self, hidden, after):
        return hidden + after if self.training else after


@pytest.mark.parametrize("kind", [Mixing, MixingInMethod])
def test_a_branch_on_training_in_a_method_or_function_that_forward_calls_is_seen(kind):
    model = kind()
    units = find_units(model, (torch.randn(3, 4),))
    assert [group.name for group in units.groups] == ["first"]
    apply_plan(prune(units, {"first": [1]}), model)
    assert model.train()(torch.randn(3, 4)).shape == (3, 3)


@pytest.mark.parametrize(
    ("build", "attributes"),
    [
        (lambda: nn.InstanceNorm2d(6), {"num_features": 5}),
        (lambda: nn.BatchNorm2d(6, affine=False, track_running_stats=False), {"num_features": 5}),
        (lambda: nn.GroupNorm(6, 6, affine=False), {"num_channels": 5, "num_groups": 5}),
    ],
)
def test_a_normalisation_without_tensors_follows_the_width_of_its_input(exact, build, attributes):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), build(), nn.Tanh(), nn.Conv2d(6, 2, 3)).double()
    inputs = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a width that is not followed is but a warning in use
        find_units(model, (inputs,))
    pruned = exact(model, inputs, "0", [2])
    assert {name: getattr(pruned[1], name) for name in attributes} == attributes


def test_a_normalisation_without_tensors_that_two_groups_share_keeps_its_number():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3)
            self.norm = nn.BatchNorm2d(6, affine=False, track_running_stats=False)
            self.head, self.other = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            return self.head(self.norm(self.first(x))) + self.other(self.norm(self.second(x)))

    units = find_units(Shared(), (torch.randn(2, 3, 7, 7),))
    assert [group.name for group in units.groups] == ["first", "second"]
    assert units.layout.bindings == ()


def test_lazy_modules_are_refused_before_their_first_batch():
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(SurgeryError, match=r"0.weight has no shape yet.*Run the model once"):
        find_units(model, (torch.randn(2, 3),))
    model(torch.randn(2, 3))
    assert [group.name for group in find_units(model, (torch.randn(2, 3),)).groups] == ["0"]


def test_a_torchscript_module_is_refused_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(nn.Linear(4, 6), torch.randn(2, 4))
    with pytest.raises(SurgeryError, match=r"^0 is a TorchScript module.*Use the module that it was made from"):
        find_units(nn.Sequential(traced, nn.Linear(6, 3)), (torch.randn(2, 4),))


def test_a_tensor_that_the_forward_never_uses_is_frozen(cases):
    units = find_units(cases["scaled"].model(), (cases["scaled"].inputs(),))
    assert any(one.tensor == "numbers" and "never uses it" in one.reason for one in units.frozen)


def test_a_plain_tensor_attribute_is_a_fixed_partner():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 2)
            self.constant = torch.ones(6)

        def forward(self, x):
            return self.head(self.first(x) * self.constant)

    units = find_units(Constant(), (torch.randn(3, 4),))
    assert units.groups == ()


def test_a_shortcut_that_pads_channels_fixes_the_trunk_and_leaves_inner_widths_dynamic():
    class Block(nn.Module):
        def __init__(self, width, wide):
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(width, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide)
            self.conv2, self.norm2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)

        def forward(self, x):
            short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2))
            return F.relu(short + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Block(4, 8), Block(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    units = find_units(model.append(nn.Linear(16, 2)), (torch.randn(1, 3, 18, 18),))
    assert {group.name: group.size for group in units.groups} == {"1.conv1": 8, "2.conv1": 16}
    assert any(one.tensor == "0.weight" and "positions are padded to it" in one.reason for one in units.frozen)


def test_channels_last_flattening_is_seen():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(2, 3, 1), nn.Linear(12, 2)

        def forward(self, x):
            return self.head(self.conv(x).permute(0, 2, 3, 1).flatten(1))

    model = Last()
    units = find_units(model, (torch.randn(1, 2, 2, 2),))
    old = model.head.weight.detach().clone()
    apply_plan(prune(units, {"conv": [1]}), model)
    assert torch.equal(model.head.weight, old.view(2, 4, 3)[:, :, [0, 2]].flatten(1))


def test_pruning_a_silent_unit_leaves_the_output(case):
    model, inputs = case.model().eval(), case.inputs()
    units = find_units(model, (inputs,))
    for index, group in enumerate(units.groups):
        facts = units.layout.groups[index]
        if group.size == group.minimum or {Obstacle.NORMALISED, Obstacle.TIED} & facts.obstacles.keys():
            continue
        silent = copy.deepcopy(model)
        silence(silent, units, index, 0)
        with torch.no_grad():
            expected = silent(inputs)
        apply_plan(prune(units, {group.name: [0]}), silent)
        assert (silent(inputs) - expected).abs().max() < 1e-11, group.name


def silence(model, units, index, unit):
    """Set the outgoing weights of one unit to 0, found by their blocks alone."""
    named = dict(model.named_parameters())
    for part in units.layout.slices[index]:
        if part.role != "outgoing":
            continue
        offset = 0
        for group, repeat in units.layout.tensors[part.tensor][part.dimension]:
            if group == index:
                start = offset + unit * repeat
                named[part.tensor].data.narrow(part.dimension, start, repeat).zero_()
            offset += repeat if group < 0 else repeat * units.sizes[group]


@pytest.mark.parametrize(
    ("example_inputs", "message"),
    [
        (torch.randn(3, 6), r"example_inputs is a Tensor.*find_units\(model, \(inputs,\)\)"),
        ((torch.randn(3, 5).double(),), r"cannot be run with these example inputs: 1 \(Linear\) raised RuntimeError"),
        ((), r"cannot be run with these example inputs"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(cases, snapshot, same, example_inputs, message):
    model = cases["mlp"].model()
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=message):
        find_units(model, example_inputs)
    same(snapshot(model), before)
