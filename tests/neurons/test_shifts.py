import pytest
import torch
from torch import nn
from torch.func import functional_call

from neurosearch.neurons import SurgeryError, find_units, fold_shifts, shift_parameter, shifted_parameters


def units_of(case):
    model, inputs = case.model().eval(), case.inputs()
    return model, inputs, find_units(model, (inputs,))


def test_folding_shifts_gives_the_shifted_function(case):
    model, inputs, units = units_of(case)
    shifts = {}
    for group in units.groups:
        try:
            shift_parameter(units, group.name)
        except SurgeryError:
            continue
        shifts[group.name] = torch.linspace(-1, 1, group.size, dtype=torch.float64)
    shifted = functional_call(model, shifted_parameters(model, units, shifts), (inputs,))
    fold_shifts(model, units, shifts)
    assert (model(inputs) - shifted).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("name", "group", "parameter"),
    [
        pytest.param("mlp", "1", "2.bias", id="the shift of the batch norm after it"),
        pytest.param("cnn_pool", "4", "4.bias", id="a convolution's bias"),
    ],
)
def test_the_last_shift_of_a_group_is_taken(cases, name, group, parameter):
    _, _, units = units_of(cases[name])
    assert shift_parameter(units, group) == parameter


def test_what_neurons_sum_up_is_shifted(cases):
    model, inputs, units = units_of(cases["cnn_pool"])
    shift = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shifted = functional_call(model, shifted_parameters(model, units, {"4": shift}), (inputs,))
    expected = model[5:](model[:5](inputs) + shift[:, None, None])
    assert torch.allclose(shifted, expected, rtol=0, atol=1e-12)


def test_a_group_to_which_nothing_is_added_is_refused_by_name():
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    units = find_units(model, (torch.zeros(2, 3),))
    with pytest.raises(SurgeryError, match=r"group 0 has no bias and no shift .* Give its layer a bias\."):
        shift_parameter(units, "0")


def test_a_shift_of_another_length_is_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    units = find_units(model, (torch.zeros(2, 3),))
    with pytest.raises(SurgeryError, match=r"group 0 has 4 units, but its shift has shape \(3,\)"):
        shifted_parameters(model, units, {"0": torch.ones(3)})


@pytest.mark.parametrize("function", [torch.sub, lambda h, own: torch.add(h, own, alpha=0.5)])
def test_a_parameter_that_is_subtracted_or_added_in_part_is_no_shift(function):
    class Off(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.own, self.head = nn.Linear(3, 4), nn.Parameter(torch.ones(4)), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(function(self.first(x), self.own))

    assert shift_parameter(find_units(Off(), (torch.zeros(2, 3),)), "first") == "first.bias"
