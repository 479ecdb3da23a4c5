"""The size of every group is a trained weight, and real tensors follow it.

Our per-neuron reading of arXiv:2501.18012: a gate on each neuron's outgoing weights, theta(N - m + 1) for neuron m of a
group of trained size N, and a size loss that pulls N to a target. The gradient of the task and of the size loss both
move N. With sizes in neurons and N as an input it is the published network exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from neurosearch.growth.columns import SizeColumns
from neurosearch.growth.gate import bounded, gate_values, size_loss
from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.sizes import Sharing, SizeMap, SizeUnit, size_map
from neurosearch.neurons import Units, grow, prune

_SETTLED_EPOCHS = 3  # epochs in a row that end with the same whole sizes
_ROUNDING = 1e-6  # share of its group that a size may be off by rounding in single precision, and more


@dataclass(frozen=True)
class NimbleSettings:
    """How sizes are trained; shares are of a group's base size.

    Attributes:
        size_coefficient: Multiplier of the size loss, at least 0.
        target_share: Size that the size loss pulls to.
        start_share: Size at the start.
        maximum_share: Largest size.
        gate_width: Width of a gate's rise, in neurons, above 0.
        size_unit: What a size weight and the size loss count: shares of the base size, or neurons.
        size_input: Whether the size is an input of every neuron of its group, through a trained column of weights.
        column_scale: Such a column starts uniform between this and its negative.
        sharing: Which groups share a size weight (see `size_map`).
        learning_rate: Learning rate of the size weights; the schedule's factor applies to it too.
        check_steps: Optimizer steps between two looks at whether a size has crossed a whole neuron.
    """

    size_coefficient: float
    target_share: float
    start_share: float
    maximum_share: float
    gate_width: float
    size_unit: SizeUnit
    size_input: bool
    column_scale: float
    sharing: Sharing
    learning_rate: float
    check_steps: int


@dataclass(frozen=True)
class Gating:
    """What makes the gates, shifts and size loss of a network, for those who compute many networks' together.

    Attributes:
        weights: The size weights `(w,)`.
        target: What the size loss pulls them to, `(w,)`.
        coefficient: Multiplier of the size loss.
        width: Of a gate's rise, in neurons.
        weight: Index of the weight that holds each group's size.
        scale: Neurons that a weight of 1 stands for, by group.
        largest: Size of each group that no gate goes beyond now, in neurons.
        low: Of each size weight, `(w,)`: from here to `high` the policy would change nothing, between two epochs' ends.
        high: See `low`; below it where there is no such range.
        columns: The weights of each neuron by which it sees its group's size; empty where it does not.
    """

    weights: nn.Parameter
    target: Tensor
    coefficient: float
    width: float
    weight: Mapping[str, int]
    scale: Mapping[str, float]
    largest: Mapping[str, float]
    low: Tensor
    high: Tensor
    columns: Mapping[str, nn.Parameter]


class NimblePolicy:
    """Trains the size N of each group.

    The tensors hold ceil(N) + 1 neurons: all those with an open gate and one spare whose gate is about to open. A
    neuron arrives behind a shut gate, so that its arrival changes nothing, with the weights that it would have had if
    all neurons up to the largest size had been there from the start, or with those it had when it left; it leaves when
    its gate has been shut and is no longer the next to open. Between two looks N cannot pass the neurons that are
    there: a gate for a neuron that does not exist yet never opens unseen.

    With plain gradient descent and a look at every step this is exactly the computation with all neurons there and
    some of them masked: a neuron behind a shut gate has no gradient. Where it would move without one, the two differ:
    momentum and weight decay do not go on for a neuron that is not there, its moments are 0 when it comes, and a batch
    norm's running statistics wait where it left them.

    A size coefficient of 0 with all gates open (a start at the maximum, a gate width up to 1, no size input) is the
    plain network bit for bit: the slope of an open gate is exactly 0.
    """

    def __init__(self, settings: NimbleSettings) -> None:
        self._settings = settings
        self._map = SizeMap({}, {}, {}, {}, {})
        self._weights = nn.Parameter(torch.empty(0))  # (w,)
        self._target = torch.empty(0)  # (w,)
        self._columns: SizeColumns | None = None
        self._whole_sizes: list[list[int]] = []  # rounded sizes at the last epochs' ends

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:
        """Start every group at the start share."""
        settings = self._settings
        self._map = size_map(units, settings.size_unit, settings.sharing)
        start, target = (self._map.from_share(share) for share in (settings.start_share, settings.target_share))
        self._weights = nn.Parameter(torch.tensor(start, device=device, dtype=dtype))
        self._target = torch.tensor(target, device=device, dtype=dtype)
        if settings.size_input:
            self._columns = SizeColumns(units, self.largest_sizes(), settings.column_scale, device, dtype, generator)

    def largest_sizes(self) -> dict[str, int]:
        """Return the most neurons that each group ever holds; it begins with its base size in any case."""
        return {name: max(base, self._largest_whole(name)) for name, base in self._map.base.items()}

    def due(self, clock: Clock) -> Need | None:
        """Ask to decide before the first step, every `check_steps` steps, and at the end of each epoch."""
        is_due = clock.step % self._settings.check_steps == 0 or clock.epoch_ended
        return NOTHING if is_due else None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the growth or pruning of the groups that no longer hold ceil(N) + 1 neurons."""
        self._keep_inside(snapshot)
        sizes = self._sizes()
        if not all(map(isfinite, sizes.values())):
            return ()  # the next loss is no number either, and the trainer ends the trial with the right words
        if snapshot.clock.epoch_ended:
            self._remember(sizes)
        wanted = {name: min(ceil(size) + 1, self._largest_whole(name)) for name, size in sizes.items()}
        wanted = {name: self._map.whole(name, size) for name, size in wanted.items()}
        held = {group.name: group.size for group in snapshot.units.groups if group.name in wanted}
        more = {name: wanted[name] - size for name, size in held.items() if wanted[name] > size}
        fewer = {name: range(wanted[name], size) for name, size in held.items() if wanted[name] < size}
        return (*self._left_alone(snapshot), *_size_decisions(snapshot, more, fewer))

    def finish_need(self) -> Need | None:
        """Return an empty need: the gates must be folded."""
        return NOTHING

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Fold gates and columns into the weights and keep the rounded size of each group.

        That is at least one neuron, and no more than whole ones within the largest size: 4.5 neurons end as 4 there.
        """
        units = snapshot.units
        with torch.no_grad():
            gates = {name: gate.clone() for name, gate in self.gates(units).items()}
            shifts = self.shifts(units)
        kept = {name: self._rounded(name, size) for name, size in self._sizes().items()}
        removed = {g.name: range(min(kept[g.name], g.size), g.size) for g in units.groups if g.name in kept}
        plan = prune(units, removed)
        return (Decision(plan, reason="the trained size, rounded", fold=gates, shift=shifts),)

    def trained(self) -> list[nn.Parameter]:
        """Return the vector of size weights."""
        return [self._weights]

    def optimizer_settings(self) -> dict[str, float]:
        """Return the sizes' learning rate; a size has a target of its own and never decays to 0."""
        return {"lr": self._settings.learning_rate, "weight_decay": 0.0}

    def columns(self) -> list[nn.Parameter]:
        """Return the columns through which the sizes are an input."""
        return [] if self._columns is None else self._columns.parameters()

    def gates(self, units: Units) -> dict[str, Tensor]:
        """Return the gate of every neuron, `(size,)` per group, differentiable in the size weights."""
        held, width = {group.name: group.size for group in units.groups}, self._settings.gate_width
        return {name: gate_values(size, held[name], width) for name, size in self._bounded(units).items()}

    def shifts(self, units: Units) -> dict[str, Tensor]:
        """Return what the size as an input adds to every neuron, differentiable in the size weights and columns."""
        return {} if self._columns is None else self._columns.shifts(units, self._bounded(units))

    def gating(self, units: Units) -> Gating:
        """Return what `gates`, `shifts` and `size_loss` are computed from."""
        settings, sizes = self._settings, self._map
        largest = {
            group.name: self._largest(group.name, group.size) for group in units.groups if group.name in sizes.base
        }
        columns = {} if self._columns is None else self._columns.by_group
        coefficient, width = settings.size_coefficient, settings.gate_width
        low, high = self._resting_range(units)
        return Gating(
            self._weights, self._target, coefficient, width, sizes.weight, sizes.scale, largest, low, high, columns
        )

    def size_loss(self) -> Tensor | None:
        """Return the loss on the size weights."""
        return size_loss(self._weights, self._target, self._settings.size_coefficient)

    def at_rest(self, units: Units, base_sizes: Mapping[str, int]) -> bool:  # noqa: ARG002  the seam's signature
        """Return whether the whole sizes were the same at the end of the last few epochs."""
        last = self._whole_sizes[-_SETTLED_EPOCHS:]
        return len(last) == _SETTLED_EPOCHS and all(sizes == last[0] for sizes in last)

    def state_dict(self) -> dict[str, Any]:
        """Return the size weights, the columns, and what settling is judged by."""
        return {
            "weights": self._weights.detach().clone(),
            "columns": {} if self._columns is None else self._columns.state_dict(),
            "whole_sizes": [list(sizes) for sizes in self._whole_sizes],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with stored sizes and columns."""
        with torch.no_grad():
            self._weights.copy_(state["weights"])
        if self._columns is not None:
            self._columns.load_state_dict(state["columns"])
        self._whole_sizes = [list(sizes) for sizes in state["whole_sizes"]]

    def _sizes(self) -> dict[str, float]:
        weights = self._weights.tolist()  # the one place that waits for the device
        return {name: weights[index] * self._map.scale[name] for name, index in self._map.weight.items()}

    def _bounded(self, units: Units) -> dict[str, Tensor]:
        held = {group.name: group.size for group in units.groups}
        sizes = self._map.sizes(self._weights)
        return {name: bounded(size, self._largest(name, held[name])) for name, size in sizes.items()}

    def _largest(self, name: str, num_neurons: float) -> float:
        return min(self._settings.maximum_share * self._map.base[name], num_neurons)

    def _largest_whole(self, name: str) -> int:
        return self._map.whole(name, ceil(self._largest(name, inf)))

    def _rounded(self, name: str, size: float) -> int:
        """Return how many neurons a group of this size ends with."""
        most = floor(self._largest(name, inf) * (1 + _ROUNDING))  # 0.29 of 100 is a little below 29
        return self._map.whole(name, min(floor(size + 0.5), most))

    def _keep_inside(self, snapshot: Snapshot) -> None:
        """Put sizes that a step carried too far back to the nearest one that a gate can express."""
        # Before the first step nothing was computed with these gates, so any size up to the maximum is as good.
        present = {g.name: inf if snapshot.clock.step == 0 else float(g.size) for g in snapshot.units.groups}
        largest = self._map.smallest({name: self._largest(name, present[name]) for name in self._map.base})
        bounds = self._like_weights(largest)
        with torch.no_grad():
            self._weights.clamp_(min=0.0).clamp_(max=bounds)

    def _resting_range(self, units: Units) -> tuple[Tensor, Tensor]:
        """Return between which values of the size weights, `(w,)` each, every group holds what `decide` wants.

        Somewhat narrower than it is: who is next to a whole neuron must look closely.
        """
        held = {group.name: group.size for group in units.groups if group.name in self._map.base}
        low, high = [0.0] * self._map.num_weights, [inf] * self._map.num_weights
        for name, size in held.items():
            index, scale, margin = self._map.weight[name], self._map.scale[name], _ROUNDING * size
            if size > self._map.minimum[name]:
                low[index] = max(low[index], (size - 2 + margin) / scale)
            largest = self._largest(name, size)
            most = largest if size == self._largest_whole(name) else min(largest, size - 1 - margin)
            high[index] = min(high[index], most / scale if size <= self._largest_whole(name) else -inf)
        return self._like_weights(low), self._like_weights(high)

    def _like_weights(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).to(self._weights)

    def _left_alone(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return a decision that changes nothing and says which groups keep their size, before the first step."""
        if snapshot.clock.step > 0 or not self._map.fixed:
            return ()
        nothing = prune(snapshot.units, {})
        return (Decision(nothing, reason="sizes that are not trained", fold=None, left_alone=self._map.fixed),)

    def _remember(self, sizes: Mapping[str, float]) -> None:
        whole = [self._rounded(name, size) for name, size in sizes.items()]
        self._whole_sizes = [*self._whole_sizes, whole][-_SETTLED_EPOCHS:]


def _size_decisions(snapshot: Snapshot, more: Mapping[str, int], fewer: Mapping[str, range]) -> tuple[Decision, ...]:
    decisions, units = [], snapshot.units
    if more:
        plan = grow(units, more, start="gated", generator=snapshot.generator)
        units = plan.units_after(units)
        decisions.append(Decision(plan, reason="the trained size grew past a whole neuron", fold=None))
    if fewer:
        plan = prune(units, fewer)
        decisions.append(Decision(plan, reason="the trained size fell past a whole neuron", fold=None))
    return tuple(decisions)
