"""Train a wider network and prune it once: the control that tells growth from the capacity that it lends.

The network begins with more neurons than were configured, initialised as a network of that width would be, and is
pruned to the configured widths at one moment. It is what a study of growth must be compared with: the same amount of
neurons on the way to the same final network, and none that came late.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from neurosearch.epochs import epochs_within
from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.resizing import changing, pruning, pruning_need, sizes_at
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import grow, growth_refusals

#: Both sides of the additional neurons are drawn as the others' were; nothing was learned yet that could be disturbed.
_START = "gated"


@dataclass(frozen=True)
class WideThenPruneSettings:
    """How much wider, and when and by what it is pruned.

    Attributes:
        grow_share: Additional neurons of each group, as a share of its base size; at least one neuron.
        prune_share: Share of the training's epochs after which the network is pruned.
        importance: Score by which neurons stay (see `neurons.importance`).
        protected_share: Neurons never pruned, the most important to the head classes, as a share of the base size.
        merge_threshold: Least likeness at which a pruned neuron's outgoing weights go to a near-duplicate that stays
            (see `neurons.near_duplicates`); 0: they are pruned with it.
    """

    grow_share: float
    prune_share: float
    importance: str
    protected_share: float
    merge_threshold: float


class WideThenPrunePolicy(UntrainedSizes):
    """Begins wide and prunes once to the base sizes; there is no state."""

    def __init__(self, settings: WideThenPruneSettings) -> None:
        self._settings = settings

    def due(self, clock: Clock) -> Need | None:
        """Return what is needed before the first step, and when the network is pruned."""
        if clock.step == 0:
            return NOTHING
        if clock.epoch_ended and clock.epoch == self._prune_epoch(clock):
            settings = self._settings
            return pruning_need(settings.importance, settings.protected_share, settings.merge_threshold)
        return None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the widening or the pruning."""
        settings, base_sizes = self._settings, changing(snapshot, _START)
        if snapshot.clock.step == 0:
            return (_widening(snapshot, sizes_at(settings.grow_share, base_sizes, _START)),)
        newcomers = {group.name: group.size - snapshot.base_sizes[group.name] for group in snapshot.units.groups}
        importance, protected_share = settings.importance, settings.protected_share
        return (pruning(snapshot, base_sizes, newcomers, importance, protected_share, "once, to the base size"),)

    def _prune_epoch(self, clock: Clock) -> int:
        return max(1, epochs_within(self._settings.prune_share, clock.epochs))


def _widening(snapshot: Snapshot, sizes: Mapping[str, int]) -> Decision:
    """Return the decision that makes a fresh network wider before its first step.

    The spread of a fresh weight falls with the root of the number of neurons that it sums over, so the weights that use
    a group's neurons are multiplied by sqrt(old size / new size); the additional ones then get the others' spread.
    """
    more = {g.name: sizes[g.name] - g.size for g in snapshot.units.groups if g.name in sizes}
    fold: dict[str, Tensor] = {
        group.name: torch.full((group.size,), sqrt(group.size / (group.size + more[group.name])))
        for group in snapshot.units.groups
        if group.name in more
    }
    plan = grow(snapshot.units, more, start=_START, generator=snapshot.generator)
    refused = growth_refusals(snapshot.units, _START)
    return Decision(plan, "wide from the start", fold=fold, left_alone=refused)
