import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from neurosearch.growth import Clock, MaskPolicy, MaskSettings, Snapshot
from neurosearch.neurons import apply_plan, find_units, fold_gates, fold_shifts, gated_parameters, shifted_parameters

CPU = torch.device("cpu")


def make(control, **changes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    units = find_units(model, (torch.zeros(2, 2, dtype=torch.float64),))
    settings = {"size_coefficient": 0.32, "size_input": True, "column_scale": 1.0, "sharing": "each", **changes}
    policy = MaskPolicy(MaskSettings(start=control, learning_rate=0.1, **settings))
    policy.attach(units, CPU, torch.float64, torch.Generator().manual_seed(1))
    return model, units, policy


def outputs(model, units, policy, inputs):
    shifted = shifted_parameters(model, units, policy.shifts(units))
    return functional_call(model, gated_parameters(model, units, policy.gates(units)) | shifted, (inputs,))


INPUTS = torch.linspace(-1, 1, 8, dtype=torch.float64).view(4, 2)


@pytest.mark.parametrize("control", [0.0, 0.3, 1.0, 1.4])
def test_one_gain_multiplies_the_whole_layer_and_the_control_is_an_input(control):
    model, units, policy = make(control)
    (column,) = policy.columns()
    with torch.no_grad():
        gain = math.sin(math.pi * control / 2) ** 2
        hidden = torch.tanh(model[0](INPUTS) + control * column)
        expected = gain * hidden @ model[2].weight.T + model[2].bias
        assert torch.allclose(outputs(model, units, policy, INPUTS), expected, rtol=0, atol=1e-12)


def test_the_control_gets_no_gradient_from_the_task_and_the_published_one_from_its_loss():
    model, units, policy = make(0.3)
    (controls,), (column,) = policy.trained(), policy.columns()
    outputs(model, units, policy, INPUTS).square().sum().backward()
    assert controls.grad is None
    assert column.grad.abs().sum() > 0
    loss = policy.size_loss()
    loss.backward()
    assert loss.item() == pytest.approx(0.32 * (0.3 - 1) ** 2)
    assert controls.grad.item() == pytest.approx(2 * 0.32 * (0.3 - 1))


def test_no_neuron_comes_or_goes_and_the_end_is_a_plain_network():
    model, units, policy = make(0.6)
    with torch.no_grad():
        expected = outputs(model, units, policy, INPUTS)
    clock = Clock(10, 10, 1, 10)
    snapshot = Snapshot(clock, units, {"0": 5}, None, None, None, torch.Generator())
    assert policy.due(clock) is None
    (decision,) = policy.finish(snapshot)
    fold_gates(model, units, decision.fold)
    fold_shifts(model, units, decision.shift)
    assert apply_plan(decision.plan, model) == units
    assert torch.allclose(model(INPUTS), expected, rtol=0, atol=1e-12)
