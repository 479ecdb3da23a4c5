"""Gates: a factor on a unit's outgoing weights, exact whatever the activation is.

Shape letters: u units of a group.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurosearch.neurons.anatomy import anatomy_of
from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.find import plain_model
from neurosearch.neurons.labels import USES, Obstacle
from neurosearch.neurons.plan import group_by_name
from neurosearch.neurons.units import FIXED, Dimension, Units


def gated_parameters(model: nn.Module, units: Units, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gated weights by name, for `torch.func.functional_call`; differentiable in weights and gates.

    Args:
        model: The network; unchanged.
        units: Its units.
        gates: For each gated group, by name, one factor per unit, `(u,)`.

    Raises:
        SurgeryError: For an unknown group, a gate of another length, or a group whose outgoing weights are not used as
            they are stored.
    """
    checked = {name: _checked(units, name, gate) for name, gate in gates.items()}
    by_index = {units.layout.index[name]: gate for name, gate in checked.items()}
    weights = anatomy_of(plain_model(model)).parameters
    gated: dict[str, Tensor] = {}
    for index in by_index:
        for part in units.layout.slices[index]:
            if part.role in USES and part.tensor not in gated:
                gated[part.tensor] = _gated(weights[part.tensor], units, part.tensor, by_index)
    return gated


def fold_gates(model: nn.Module, units: Units, gates: Mapping[str, Tensor]) -> None:
    """Multiply gates into the weights, so that the plain network computes what the gated one did.

    Args:
        model: The network; changed in place.
        units: Its units.
        gates: As for `gated_parameters`.

    Raises:
        SurgeryError: As for `gated_parameters`; the network is unchanged then.
    """
    with torch.no_grad():
        gated = gated_parameters(model, units, gates)
        weights = anatomy_of(plain_model(model)).parameters
        for name, values in gated.items():
            weights[name].copy_(values)


def _checked(units: Units, name: str, gate: Tensor) -> Tensor:
    group = group_by_name(units, name)
    if tuple(gate.shape) != (group.size,):
        raise SurgeryError(
            f"group {name} has {group.size} units, but its gate has shape {tuple(gate.shape)}. Pass one factor for "
            f"each unit, of shape ({group.size},)."
        )
    obstacles = units.layout.groups[units.layout.index[name]].obstacles
    for obstacle in (Obstacle.NO_OUTGOING, Obstacle.DERIVED, Obstacle.MIXED):
        if obstacle in obstacles:
            raise SurgeryError(
                f"group {name} cannot be gated: its outgoing weights are not plain ({obstacles[obstacle]}). Gate the "
                "other groups alone."
            )
    return gate


def _gated(weight: Tensor, units: Units, tensor: str, gates: Mapping[int, Tensor]) -> Tensor:
    for dimension, blocks in enumerate(units.layout.tensors[tensor]):
        if units.layout.roles.get((tensor, dimension)) in USES:
            factor = _factor(blocks, units, gates, weight)
            if factor is not None:
                shape = [-1 if index == dimension else 1 for index in range(weight.ndim)]
                weight = weight * factor.view(shape)
    return weight


def _factor(blocks: Dimension, units: Units, gates: Mapping[int, Tensor], weight: Tensor) -> Tensor | None:
    """Return one factor per position of a dimension, or None if none of its groups is gated."""
    parts = []
    for group, repeat in blocks:
        gate = gates.get(group)
        if gate is None:
            parts.append(weight.new_ones(repeat if group == FIXED else repeat * units.sizes[group]))
        else:
            parts.append(gate if repeat == 1 else gate.repeat_interleave(repeat))
    if not any(group in gates for group, _ in blocks):
        return None
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(weight)
