"""Shifts: a number added to what each unit of a group sums up.

Shape letters: u units of a group.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.labels import Role
from neurosearch.neurons.plan import group_by_name
from neurosearch.neurons.units import Block, Units


def shift_parameter(units: Units, name: str) -> str:
    """Return the name of the parameter that is added to a group's units: the last bias, or shift of a normalisation.

    Raises:
        SurgeryError: For an unknown group, or one to whose units nothing is added.
    """
    group_by_name(units, name)
    index = units.layout.index[name]
    own = ((Block(index, 1),),)
    found = [
        part.tensor
        for part in units.layout.slices[index]
        if part.role == Role.SHIFT and units.layout.tensors[part.tensor] == own
    ]
    if not found:
        raise SurgeryError(
            f"group {name} has no bias and no shift of a normalisation, so nothing can be added to what its units sum "
            "up. Give its layer a bias."
        )
    return found[-1]


def shifted_parameters(model: nn.Module, units: Units, shifts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the shifted biases by name, for `torch.func.functional_call`; differentiable in biases and shifts.

    Args:
        model: The network; unchanged.
        units: Its units.
        shifts: For each shifted group, by name, what is added to each unit, `(u,)`.

    Raises:
        SurgeryError: As for `shift_parameter`, or for a shift of another length.
    """
    if not shifts:
        return {}
    parameters = anatomy_of(plain_model(model)).parameters
    shifted = {}
    for name, shift in shifts.items():
        tensor, size = shift_parameter(units, name), group_by_name(units, name).size
        if tuple(shift.shape) != (size,):
            raise SurgeryError(
                f"group {name} has {size} units, but its shift has shape {tuple(shift.shape)}. Pass one number for "
                f"each unit, of shape ({size},)."
            )
        shifted[tensor] = parameters[tensor] + shift.to(parameters[tensor])
    return shifted


def fold_shifts(model: nn.Module, units: Units, shifts: Mapping[str, Tensor]) -> None:
    """Add shifts to the biases, so that the plain network computes what the shifted one did.

    Args:
        model: The network; changed in place.
        units: Its units.
        shifts: As for `shifted_parameters`.

    Raises:
        SurgeryError: As for `shifted_parameters`; the network is unchanged then.
    """
    with torch.no_grad():
        shifted = shifted_parameters(model, units, shifts)
        parameters = anatomy_of(plain_model(model)).parameters
        for name, values in shifted.items():
            parameters[name].copy_(values)
