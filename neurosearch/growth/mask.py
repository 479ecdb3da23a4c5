"""The controller mask as its authors' code computes it, for reproduction: no neuron comes or goes.

arXiv:2501.18012 describes a mask over neurons. The public code (repository N3) calls it with one neuron, so it is one
gain on the whole hidden layer, and the controller's gradient comes from the size loss alone: the "size" follows the
same path whatever the data are. Where a size that depends on the data is wanted, take `NimblePolicy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurosearch.growth.columns import SizeColumns
from neurosearch.growth.gate import size_loss
from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.published import controller_mask
from neurosearch.growth.sizes import Sharing, SizeMap, size_map
from neurosearch.neurons import Units, prune


@dataclass(frozen=True)
class MaskSettings:
    """How controls are trained.

    Attributes:
        size_coefficient: Multiplier of the size loss, mean (c - 1)^2; the authors' size_influence.
        start: Control c at the start; 0 is the authors' growing network, 1 their static one.
        size_input: Whether the control is an input of every neuron of its group, through a trained column of weights.
        column_scale: Such a column starts uniform between this and its negative.
        sharing: Which groups share a control (see `size_map`).
        learning_rate: Learning rate of the controls; the schedule's factor applies to it too.
    """

    size_coefficient: float
    start: float
    size_input: bool
    column_scale: float
    sharing: Sharing
    learning_rate: float


class MaskPolicy:
    """Multiplies every neuron of a group by one gain sin^2(pi * c / 2), whose control c the size loss alone trains."""

    def __init__(self, settings: MaskSettings) -> None:
        self._settings = settings
        self._map = SizeMap({}, {}, {}, {}, {})
        self._controls = nn.Parameter(torch.empty(0))  # (w,)
        self._columns: SizeColumns | None = None

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:
        """Start every control."""
        settings = self._settings
        self._map = size_map(units, "share", settings.sharing)
        start = torch.full((self._map.num_weights,), settings.start, device=device, dtype=dtype)
        self._controls = nn.Parameter(start)
        if settings.size_input:
            self._columns = SizeColumns(units, self._map.base, settings.column_scale, device, dtype, generator)

    def largest_sizes(self) -> dict[str, int]:
        """Return nothing: no neuron comes or goes."""
        return {}

    def due(self, clock: Clock) -> Need | None:  # noqa: ARG002  the seam's signature
        """Never ask to decide."""
        return None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:  # noqa: ARG002  the seam's signature
        """Return no change."""
        return ()

    def finish_need(self) -> Need | None:
        """Return an empty need: the gains must be folded."""
        return NOTHING

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Fold gains and columns into the weights."""
        with torch.no_grad():
            gates = {name: gate.clone() for name, gate in self.gates(snapshot.units).items()}
            shifts = self.shifts(snapshot.units)
        nothing = prune(snapshot.units, {})
        fixed = self._map.fixed
        return (Decision(nothing, reason="the gain, folded", fold=gates, shift=shifts, left_alone=fixed),)

    def trained(self) -> list[nn.Parameter]:
        """Return the vector of controls."""
        return [self._controls]

    def optimizer_settings(self) -> dict[str, float]:
        """Return the controls' learning rate; a control never decays to 0."""
        return {"lr": self._settings.learning_rate, "weight_decay": 0.0}

    def columns(self) -> list[nn.Parameter]:
        """Return the columns through which the controls are an input."""
        return [] if self._columns is None else self._columns.parameters()

    def gates(self, units: Units) -> dict[str, Tensor]:
        """Return each group's gain, once for each of its neurons; no gradient reaches the controls."""
        held = {group.name: group.size for group in units.groups}
        (gains,) = controller_mask(self._controls.detach(), num_neurons=1)  # (w,)
        return {name: gains[index].expand(held[name]) for name, index in self._map.weight.items()}

    def shifts(self, units: Units) -> dict[str, Tensor]:
        """Return what the control as an input adds to every neuron; differentiable in the columns alone."""
        return {} if self._columns is None else self._columns.shifts(units, self._by_group())

    def size_loss(self) -> Tensor | None:
        """Return size_coefficient * mean (c - 1)^2."""
        return size_loss(self._controls, 1.0, self._settings.size_coefficient)

    def at_rest(self, units: Units, base_sizes: Mapping[str, int]) -> bool:  # noqa: ARG002  the seam's signature
        """Return True: the tensors have the size that the network ends with."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return controls and columns."""
        columns = {} if self._columns is None else self._columns.state_dict()
        return {"controls": self._controls.detach().clone(), "columns": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with stored controls and columns."""
        with torch.no_grad():
            self._controls.copy_(state["controls"])
        if self._columns is not None:
            self._columns.load_state_dict(state["columns"])

    def _by_group(self) -> dict[str, Tensor]:
        controls = self._controls.detach().unbind()
        return {name: controls[index] for name, index in self._map.weight.items()}
