"""Carries out what a growth policy decides: the one place where a training's network changes its shape."""

from collections.abc import Mapping, Sequence

import torch
from torch.optim import Optimizer

from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.neurons import Reserve, SurgeryError, apply_plan, fold_gates, fold_shifts
from neurosearch.randomness import derive_seed
from neurosearch.training.memory import is_out_of_memory
from neurosearch.training.network import Network
from neurosearch.training.records import GrowthEvent
from neurosearch.training.scores import measure
from neurosearch.training.seams import Batches, Task


class Surgeon:
    """Shows a policy what it needs and applies its decisions to network and optimizer together.

    Attributes:
        events: Every change so far, oldest first.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        batches: Batches,
        task: Task,
        base_sizes: Mapping[str, int],
        importance_examples: int,
        seed: int,
        reserve: Reserve,
    ) -> None:
        self.events: list[GrowthEvent] = []
        self._counts: dict[str, float] = {}
        self._network = network
        self._optimizer = optimizer
        self._batches = batches
        self._task = task
        self._base_sizes = base_sizes
        self._importance_examples = importance_examples
        self._seed = seed
        self._reserve = reserve

    def snapshot(self, clock: Clock, need: Need) -> tuple[Snapshot, int]:
        """Return what a policy sees, and how many examples went forward and backward through the network for it.

        Raises:
            TrialFailed: The network has a group of neurons that cannot be measured in the way that is needed.
        """
        seed = derive_seed(self._seed, "growth", clock.step)
        network = self._network
        task = self._task.during(clock.epoch, clock.epochs)
        found = measure(need, network.model, network.units, self._batches, task, self._importance_examples, seed)
        snapshot = Snapshot(
            clock,
            network.units,
            self._base_sizes,
            found.scores,
            found.head_scores,
            found.directions,
            torch.Generator().manual_seed(seed),
            found.demand,
            found.explained,
            found.twins,
        )
        return snapshot, found.num_examples

    def apply(self, decisions: Sequence[Decision], clock: Clock) -> None:
        """Change the network and the optimizer, decision by decision, and note one event per changed group.

        A group that should have changed and cannot is noted once, as an event without a neuron.

        Raises:
            SurgeryError: A plan does not fit; the network is as before that plan.
            RuntimeError: There was no memory for one, in the words of whoever was asked for it; as before, too.
            MemoryError: The same, where numpy was asked.
        """
        # Gradients of the last step belong to the old shapes, and no autograd graph may be alive during surgery.
        self._optimizer.zero_grad(set_to_none=True)
        network = self._network
        for decision in decisions:
            network.forget_compiled()
            if decision.fold is not None:
                fold_gates(network.model, network.units, decision.fold)
                fold_shifts(network.model, network.units, decision.shift)
                network.is_gated = False
            changes = [change for change in decision.plan.changes if change.group in self._reserve.groups]
            self._reserve.store(network.model, network.units, [change.group for change in changes])
            try:
                network.units = apply_plan(decision.plan, network.model, self._optimizer)
            except SurgeryError as error:
                if error.__cause__ is not None and is_out_of_memory(error.__cause__):
                    raise error.__cause__ from None  # no mistake of the plan: with more memory it could be done
                raise
            self._reserve.restore(network.model, network.units, [change.group for change in changes if change.added])
            self.events += _events(decision, clock)
            self.events += self._left_alone(decision, clock)
            self._counts |= decision.counts

    def take_counts(self) -> dict[str, float]:
        """Return what the decisions since the last time have counted; the last one of a name counts."""
        counts, self._counts = self._counts, {}
        return counts

    def _left_alone(self, decision: Decision, clock: Clock) -> list[GrowthEvent]:
        noted = {(event.group, event.reason) for event in self.events}
        reasons = {group: f"stays at its base size: {why}" for group, why in decision.left_alone.items()}
        return [
            GrowthEvent(clock.step, clock.epoch, group, 0, 0, reason)
            for group, reason in reasons.items()
            if (group, reason) not in noted
        ]


def _events(decision: Decision, clock: Clock) -> list[GrowthEvent]:
    return [
        GrowthEvent(clock.step, clock.epoch, change.group, change.added, len(change.removed), reason)
        for change in decision.plan.changes
        for reason in ["; ".join(filter(None, (decision.reason, decision.notes.get(change.group))))]
    ]
