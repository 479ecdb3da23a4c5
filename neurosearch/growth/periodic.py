"""Grow and prune in cycles, for the classes with few examples, and end at the configured size.

Our reading of arXiv:2507.09940: its abstract says that neurons are added and removed periodically, that what was
learned from majority classes is kept, and that the final structure is the fixed network's; criterion, schedule and
amounts are not public, so all of them are settings to be searched.
"""

from dataclasses import dataclass, replace

import torch

from neurosearch import names
from neurosearch.epochs import epochs_within
from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.resizing import (
    LARGEST_DEMAND,
    changing,
    growth,
    growth_need,
    pruning,
    pruning_need,
    sizes_at,
    sizes_by_demand,
)
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import Units, grow


@dataclass(frozen=True)
class PeriodicSettings:
    """When, how much and by which measure.

    Attributes:
        period_epochs: Epochs from one growth to the next; the first growth comes before the first epoch.
        grown_epochs: Epochs between a cycle's growth and its pruning, at least 1 and below `period_epochs`.
        grow_share: Neurons added to each group, as a share of its base size; at least one neuron.
        groups: Where they are added: `all` groups alike, or by `tail_demand`: as many in all, but more of them to
            groups in whose gradient the tail classes have a larger share.
        stop_share: Share of the training's epochs by which every cycle has pruned.
        start: How new neurons begin (see `neurons.grow`).
        importance: Score by which neurons stay (see `neurons.importance`).
        protected_share: Neurons never pruned, the most important to the head classes, as a share of the base size.
        copy_noise: Of noisy copies, in units of their incoming weights' root mean square.
        explained_share: A cycle grows only if the best newcomers would explain at least this share of the loss's slope,
            on average over the groups (see `neurons.explained_shares`); 0: whatever they explain.
        merge_threshold: Least likeness at which a pruned neuron's outgoing weights go to a near-duplicate that stays
            (see `neurons.near_duplicates`); 0: they are pruned with it.
    """

    period_epochs: int
    grown_epochs: int
    grow_share: float
    groups: str
    stop_share: float
    start: str
    importance: str
    protected_share: float
    copy_noise: float
    explained_share: float
    merge_threshold: float


class PeriodicPolicy(UntrainedSizes):
    """Adds neurons at a cycle's start and prunes back to the base sizes `grown_epochs` later.

    A cycle starts only if it can prune by `stop_share` of the training, so the last epochs train the final structure.
    Everything follows from the clock, so there is no state.
    """

    def __init__(self, settings: PeriodicSettings) -> None:
        self._settings = settings
        self._growth_need = NOTHING
        self._pruning_need = pruning_need(settings.importance, settings.protected_share, settings.merge_threshold)

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:  # noqa: ARG002
        """Find out what a cycle's growth needs; every cycle starts at the base sizes."""
        base_sizes = {group.name: group.size for group in units.groups}
        settings = self._settings
        by_demand = settings.groups == "tail_demand"
        largest = sizes_at(settings.grow_share, base_sizes, settings.start)
        if by_demand:  # how many of them each group gets is not known before they are shown
            largest = {name: size + LARGEST_DEMAND * (largest[name] - size) for name, size in base_sizes.items()}
        self._growth_need = replace(growth_need(settings.start, base_sizes, largest), demand=by_demand)
        if settings.explained_share:
            counts = {name: largest[name] - size for name, size in base_sizes.items()}
            self._growth_need = replace(self._growth_need, explained=counts)

    def due(self, clock: Clock) -> Need | None:
        """Return what growing or pruning needs, at the epoch boundaries at which one of them is due."""
        if not clock.epoch_ended:
            return None
        if self._grows(clock):
            return self._growth_need
        return self._pruning_need if self._prunes(clock) else None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the cycle's growth or its pruning."""
        if self._grows(snapshot.clock):
            return (self._growth(snapshot),)
        if self._prunes(snapshot.clock):
            return (self._pruning(snapshot),)
        return ()

    def _growth(self, snapshot: Snapshot) -> Decision:
        settings, base_sizes = self._settings, changing(snapshot, self._settings.start)
        shares = snapshot.explained
        explained = None if shares is None else sum(shares.values()) / len(shares)
        if explained is not None and explained < settings.explained_share:
            counts = {names.EXPLAINED_SHARE: explained}
            return Decision(grow(snapshot.units, {}), "nothing to explain", fold=None, counts=counts)
        if snapshot.demand is None:
            sizes, reason = sizes_at(settings.grow_share, base_sizes, settings.start), "start of a cycle"
        else:
            sizes = sizes_by_demand(settings.grow_share, base_sizes, snapshot.demand, settings.start)
            reason = "start of a cycle, by the demand of tail classes"
        decision = growth(snapshot, sizes, settings.start, settings.copy_noise, reason)
        return decision if explained is None else replace(decision, counts={names.EXPLAINED_SHARE: explained})

    def _pruning(self, snapshot: Snapshot) -> Decision:
        settings, base_sizes = self._settings, snapshot.base_sizes
        newcomers = {group.name: group.size - base_sizes[group.name] for group in snapshot.units.groups}
        importance, protected_share = settings.importance, settings.protected_share
        return pruning(snapshot, base_sizes, newcomers, importance, protected_share, reason="back to the base size")

    def _grows(self, clock: Clock) -> bool:
        return clock.epoch % self._settings.period_epochs == 0 and self._completes(clock.epoch, clock)

    def _prunes(self, clock: Clock) -> bool:
        start = clock.epoch - self._settings.grown_epochs
        return start >= 0 and start % self._settings.period_epochs == 0 and self._completes(start, clock)

    def _completes(self, start_epoch: int, clock: Clock) -> bool:
        return start_epoch + self._settings.grown_epochs <= epochs_within(self._settings.stop_share, clock.epochs)
