import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, certify, find_units, grow, prune
from neurosearch.neurons.registry import remember
from neurosearch.neurons.units import Block


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


class Chain(nn.Module):
    """Blocks on a trunk: plain ones make it anew, residual ones add to it; then the head, flattened or pooled."""

    def __init__(self, blocks, *, is_flat):
        super().__init__()
        self.firsts, self.norms, self.seconds = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.is_flat, trunk, maker = is_flat, 2, None
        self.readers = {}  # by the name of the layer that makes some units: the layers that read them
        for index, (width, is_residual) in enumerate(blocks):
            self.firsts.append(nn.Conv2d(trunk, width, 3, padding=1))
            self.norms.append(nn.BatchNorm2d(width))
            self.seconds.append(nn.Conv2d(width, trunk, 1) if is_residual else nn.Identity())
            self._read(maker, self.firsts[-1])
            if is_residual:
                self._read(f"firsts.{index}", self.seconds[-1])
            else:
                trunk, maker = width, f"firsts.{index}"
        self.head = nn.Linear(9 * trunk if is_flat else trunk, 2)
        self._read(maker, self.head)

    def _read(self, maker, layer):
        if maker is not None:
            self.readers.setdefault(maker, []).append(layer)

    def forward(self, x):
        for first, norm, second in zip(self.firsts, self.norms, self.seconds, strict=True):
            inner = torch.nn.functional.silu(norm(first(x)))
            x = inner if isinstance(second, nn.Identity) else x + second(inner)
        return self.head(x.flatten(1) if self.is_flat else x.mean((2, 3)))


def silenced(model, name, unit, inputs):
    """Return the outputs when nothing that reads a channel sees it: by hooks, without anything of the units."""

    def silence(layer, given):
        values = given[0].clone()
        run = 9 if isinstance(layer, nn.Linear) and model.is_flat else 1
        values[:, unit * run : (unit + 1) * run] = 0
        return values

    handles = [layer.register_forward_pre_hook(silence) for layer in model.readers[name]]
    outputs = model(inputs).detach()
    for handle in handles:
        handle.remove()
    return outputs


@settings(max_examples=15, deadline=None)
@given(
    blocks=st.lists(st.tuples(st.integers(2, 4), st.booleans()), min_size=1, max_size=4),
    is_flat=st.booleans(),
    training=st.booleans(),
    data=st.data(),
)
def test_units_of_random_networks_are_what_silencing_one_of_them_shows(blocks, is_flat, training, data):
    torch.manual_seed(0)
    model, inputs = Chain(blocks, is_flat=is_flat).double(), torch.randn(3, 2, 3, 3, dtype=torch.float64)
    units = find_units(model, (inputs,))
    assert {group.name for group in units.groups} == model.readers.keys()
    for group in units.groups:
        unit = data.draw(st.integers(0, group.size - 1), label=group.name)
        pruned = copy.deepcopy(model)
        after = apply_plan(prune(units, {group.name: [unit]}), pruned)
        certify(pruned, after, (inputs,))
        expected = silenced(copy.deepcopy(model).train(training), group.name, unit, inputs)
        assert (pruned.train(training)(inputs) - expected).abs().max() < 1e-12


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.conv(x).permute(0, 2, 3, 1).flatten(1))


MISTAKES = {
    "channels interleaved before a flatten": ("cnn_flatten", "7.weight", 1, ((1, 1),) * 16),
    "groups of a convolution not aligned": ("shuffle", "first.weight", 0, None),
    "channels-last flattened as channels first": (ChannelsLast, "head.weight", 1, ((0, 4),)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_caught(cases, mistake):
    name, tensor, dimension, wrong = MISTAKES[mistake]
    model = cases[name].model() if isinstance(name, str) else name().double()
    inputs = cases[name].inputs() if isinstance(name, str) else torch.randn(1, 2, 4, 4, dtype=torch.float64)
    units = find_units(model, (inputs,))
    blocks = units.layout.tensors[tensor][dimension]
    wrong = wrong or ((blocks[0].group, sum(block.repeat for block in blocks)),)  # all in one run
    dimensions = list(units.layout.tensors[tensor])
    dimensions[dimension] = tuple(Block(*block) for block in wrong)
    assert tuple(dimensions) != units.layout.tensors[tensor]
    layout = replace(units.layout, tensors={**units.layout.tensors, tensor: tuple(dimensions)})
    planted = remember(replace(units, layout=layout))
    group = units.layout.groups[blocks[0].group].name
    after = apply_plan(prune(planted, {group: [0]}), model)  # its shapes are those of the right one
    assert model(inputs).shape[1] == 3
    with pytest.raises(SurgeryError, match=rf"not those expected; they differ at {tensor}.*last checkpoint"):
        certify(model, after, (inputs,))


class Matrices(torch.optim.Optimizer):
    """Keeps one matrix for each dimension of a parameter in a list, as optimizers with preconditioners do."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["factors"] = [torch.eye(size) for size in parameter.shape]


def test_state_in_a_list_is_refused(cases, snapshot, same):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units, optimizer = find_units(model, (inputs,)), Matrices(model.parameters())
    optimizer.step()
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=r"Matrices keeps 'factors' of 1\.weight in a list.*SGD or AdamW"):
        apply_plan(prune(units, {"1": [0]}), model, optimizer)
    same(snapshot(model), before)


@pytest.mark.parametrize("name", ["1", "4"])
def test_state_in_one_row_for_all_parameters_is_refused_whichever_of_them_change(cases, snapshot, same, name):
    model, inputs = cases["mlp"].model(), cases["mlp"].inputs()
    units, optimizer = find_units(model, (inputs,)), torch.optim.LBFGS(model.parameters(), max_iter=2)

    def loss():
        optimizer.zero_grad()
        value = model(inputs).square().mean()
        value.backward()
        return value

    optimizer.step(loss)
    before = snapshot(model)
    with pytest.raises(SurgeryError, match=r"LBFGS keeps '\w+' of .*Use an optimizer whose state has the shape"):
        apply_plan(prune(units, {name: [0]}), model, optimizer)
    same(snapshot(model), before)
