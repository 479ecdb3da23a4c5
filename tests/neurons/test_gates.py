import pytest
import torch
from torch.func import functional_call

from neurosearch.neurons import SurgeryError, find_units, fold_gates, gated_parameters


def gates_of(units, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        g.name: torch.rand(g.size, dtype=torch.float64, generator=generator, requires_grad=True) for g in units.groups
    }


def test_folding_gates_gives_the_gated_function(case):
    model, inputs = case.model().eval(), case.inputs()
    units = find_units(model, (inputs,))
    gates = gates_of(units)
    gated = functional_call(model, gated_parameters(model, units, gates), (inputs,))
    fold_gates(model, units, gates)
    assert (model(inputs) - gated).abs().max() < 1e-12


def test_gates_of_one_change_nothing(case):
    model, inputs = case.model().eval(), case.inputs()
    units = find_units(model, (inputs,))
    ones = {group.name: torch.ones(group.size, dtype=torch.float64) for group in units.groups}
    weights = dict(model.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in gated_parameters(model, units, ones).items())


def test_every_gate_gets_a_gradient(case):
    model, inputs = case.model(), case.inputs()
    units = find_units(model, (inputs,))
    gates = gates_of(units)
    outputs = functional_call(model, gated_parameters(model, units, gates), (inputs,))
    outputs.backward(torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(1)))
    assert all(gate.grad is not None and gate.grad.abs().sum() > 0 for gate in gates.values())


def test_only_outgoing_weights_are_returned(cases):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    assert gated_parameters(model, units, {"1": torch.ones(6)}).keys() == {"4.weight"}


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"1": torch.ones(5)}, r"group 1 has 6 units, but its gate has shape \(5,\)"),
        ({"2": torch.ones(5)}, "no group '2'"),
    ],
)
def test_gates_that_do_not_fit_are_refused(cases, gates, message):
    model = cases["mlp"].model()
    units = find_units(model, (cases["mlp"].inputs(),))
    with pytest.raises(SurgeryError, match=message):
        fold_gates(model, units, gates)
