"""The size of every group is a trained weight, and real tensors follow it.

Our per-neuron reading of arXiv:2501.18012: a gate on each neuron's outgoing weights, theta(N - m + 1) for neuron m of a
group of trained size N, and a size loss that pulls N to a target. The gradient of the task and of the size loss both
move N.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from neurosearch.growth.gate import bounded, gate_values, size_loss
from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.neurons import Units, grow, prune

_SETTLED_EPOCHS = 3  # epochs in a row that end with the same whole sizes


@dataclass(frozen=True)
class NimbleSettings:
    """How sizes are trained; shares are of a group's base size.

    Attributes:
        size_coefficient: Multiplier of the size loss, at least 0.
        target_share: Size that the size loss pulls to.
        start_share: Size at the start.
        maximum_share: Largest size.
        gate_width: Width of a gate's rise, in neurons, above 0.
        learning_rate: Learning rate of the sizes, in shares; the schedule's factor applies to it too.
        check_steps: Optimizer steps between two looks at whether a size has crossed a whole neuron.
    """

    size_coefficient: float
    target_share: float
    start_share: float
    maximum_share: float
    gate_width: float
    learning_rate: float
    check_steps: int


class NimblePolicy:
    """Trains one share s per group; the group's size is N = s * base size, in neurons.

    The tensors hold ceil(N) + 1 neurons: all those with an open gate and one spare whose gate is about to open. A
    neuron arrives with fresh random weights on both sides behind a shut gate, so that its arrival changes nothing; it
    leaves when its gate has been shut and is no longer the next to open. Between two looks N cannot pass the neurons
    that are there: a gate for a neuron that does not exist yet never opens unseen.
    """

    def __init__(self, settings: NimbleSettings) -> None:
        self._settings = settings
        self._base: dict[str, int] = {}
        self._shares = nn.Parameter(torch.empty(0))  # (g,), in the order of the groups
        self._whole_sizes: list[list[int]] = []  # rounded sizes at the last epochs' ends

    def attach(self, base_sizes: Mapping[str, int], device: torch.device, dtype: torch.dtype) -> None:
        """Start every group at the start share."""
        self._base = dict(base_sizes)
        start = torch.full((len(base_sizes),), self._settings.start_share, device=device, dtype=dtype)
        self._shares = nn.Parameter(start)

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
        wanted = {name: self._real_size(name, size) for name, size in sizes.items()}
        more = {g.name: wanted[g.name] - g.size for g in snapshot.units.groups if wanted[g.name] > g.size}
        fewer = {g.name: range(wanted[g.name], g.size) for g in snapshot.units.groups if wanted[g.name] < g.size}
        return _size_decisions(snapshot, more, fewer)

    def finish_need(self) -> Need | None:
        """Return an empty need: the gates must be folded."""
        return NOTHING

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Fold the gates into the weights and keep the rounded size of each group, at least one neuron."""
        with torch.no_grad():
            gates = {name: gate.clone() for name, gate in self.gates(snapshot.units).items()}
        kept = {name: _whole(size) for name, size in self._sizes().items()}
        removed = {g.name: range(min(kept[g.name], g.size), g.size) for g in snapshot.units.groups}
        plan = prune(snapshot.units, removed)
        return (Decision(plan, reason="the trained size, rounded", fold=gates),)

    def trained(self) -> list[nn.Parameter]:
        """Return the vector of shares."""
        return [self._shares]

    def optimizer_settings(self) -> dict[str, float]:
        """Return the shares' learning rate; a size has a target of its own and never decays to 0."""
        return {"lr": self._settings.learning_rate, "weight_decay": 0.0}

    def gates(self, units: Units) -> dict[str, Tensor]:
        """Return the gate of every neuron, `(size,)` per group, differentiable in the shares."""
        gates = {}
        by_name = dict(zip(self._base, self._shares.unbind(), strict=True))
        for group in units.groups:
            size = bounded(by_name[group.name] * self._base[group.name], self._largest(group.name, group.size))
            gates[group.name] = gate_values(size, group.size, self._settings.gate_width)
        return gates

    def size_loss(self) -> Tensor | None:
        """Return the loss on the shares."""
        return size_loss(self._shares, self._settings.target_share, self._settings.size_coefficient)

    def at_rest(self, units: Units, base_sizes: Mapping[str, int]) -> bool:  # noqa: ARG002  the seam's signature
        """Return whether the whole sizes were the same at the end of the last few epochs."""
        last = self._whole_sizes[-_SETTLED_EPOCHS:]
        return len(last) == _SETTLED_EPOCHS and all(sizes == last[0] for sizes in last)

    def state_dict(self) -> dict[str, Any]:
        """Return the shares and what settling is judged by."""
        return {"shares": self._shares.detach().clone(), "whole_sizes": [list(sizes) for sizes in self._whole_sizes]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with stored shares."""
        with torch.no_grad():
            self._shares.copy_(state["shares"])
        self._whole_sizes = [list(sizes) for sizes in state["whole_sizes"]]

    def _sizes(self) -> dict[str, float]:
        shares = self._shares.tolist()  # the one place that waits for the device
        return {name: share * base for (name, base), share in zip(self._base.items(), shares, strict=True)}

    def _largest(self, name: str, num_neurons: float) -> float:
        return min(self._settings.maximum_share * self._base[name], num_neurons)

    def _real_size(self, name: str, size: float) -> int:
        return min(ceil(size) + 1, max(1, ceil(self._settings.maximum_share * self._base[name])))

    def _keep_inside(self, snapshot: Snapshot) -> None:
        """Put shares that a step carried too far back to the nearest one that a gate can express."""
        groups = snapshot.units.groups
        # Before the first step nothing was computed with these gates, so any share up to the maximum is as good.
        present = {g.name: inf if snapshot.clock.step == 0 else float(g.size) for g in groups}
        largest = [self._largest(name, present[name]) / base for name, base in self._base.items()]
        bounds = torch.tensor(largest, dtype=torch.float64).to(self._shares)
        with torch.no_grad():
            self._shares.clamp_(min=0.0).clamp_(max=bounds)

    def _remember(self, sizes: Mapping[str, float]) -> None:
        self._whole_sizes = [*self._whole_sizes, [_whole(size) for size in sizes.values()]][-_SETTLED_EPOCHS:]


def _whole(size: float) -> int:
    return max(1, floor(size + 0.5))


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
