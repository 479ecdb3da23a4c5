"""Grow and prune in cycles, for the classes with few examples, and end at the configured size.

Our reading of arXiv:2507.09940: its abstract says that neurons are added and removed periodically, that what was
learned from majority classes is kept, and that the final structure is the fixed network's; criterion, schedule and
amounts are not public, so all of them are settings to be searched.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neurosearch.growth.policy import NOTHING, Clock, Decision, Need, Snapshot
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import grow, prune


@dataclass(frozen=True)
class PeriodicSettings:
    """When, how much and by which measure.

    Attributes:
        period_epochs: Epochs from one growth to the next; the first growth comes before the first epoch.
        grown_epochs: Epochs between a cycle's growth and its pruning, at least 1 and below `period_epochs`.
        grow_share: Neurons added to each group, as a share of its base size; at least one neuron.
        stop_share: Share of the training's epochs by which every cycle has pruned.
        start: How new neurons begin (see `neurons.grow`).
        importance: Score by which neurons stay (see `neurons.importance`).
        protected_share: Neurons never pruned, the most important to the head classes, as a share of the base size.
    """

    period_epochs: int
    grown_epochs: int
    grow_share: float
    stop_share: float
    start: str
    importance: str
    protected_share: float


class PeriodicPolicy(UntrainedSizes):
    """Adds neurons to every group at a cycle's start and prunes back to the base sizes `grown_epochs` later.

    A cycle starts only if it can prune by `stop_share` of the training, so the last epochs train the final structure.
    Everything follows from the clock, so there is no state.
    """

    def __init__(self, settings: PeriodicSettings) -> None:
        self._settings = settings
        needs_head = settings.protected_share > 0
        self._pruning_need = Need(scores=settings.importance, head_scores=needs_head)

    def due(self, clock: Clock) -> Need | None:
        """Return what growing or pruning needs, at the epoch boundaries at which one of them is due."""
        if not clock.epoch_ended:
            return None
        if self._grows(clock):
            return NOTHING
        return self._pruning_need if self._prunes(clock) else None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the cycle's growth or its pruning."""
        if self._grows(snapshot.clock):
            return (self._growth(snapshot),)
        return (self._pruning(snapshot),) if self._prunes(snapshot.clock) else ()

    def finish_need(self) -> Need | None:
        """Return None: the last cycle has pruned long before the end."""
        return None

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return no decision; the network has its base sizes."""
        assert self.at_rest(snapshot.units, snapshot.base_sizes)
        return ()

    def _grows(self, clock: Clock) -> bool:
        return clock.epoch % self._settings.period_epochs == 0 and self._completes(clock.epoch, clock)

    def _prunes(self, clock: Clock) -> bool:
        start = clock.epoch - self._settings.grown_epochs
        return start >= 0 and start % self._settings.period_epochs == 0 and self._completes(start, clock)

    def _completes(self, start_epoch: int, clock: Clock) -> bool:
        return start_epoch + self._settings.grown_epochs <= int(self._settings.stop_share * clock.epochs)

    def _growth(self, snapshot: Snapshot) -> Decision:
        counts = added_sizes(self._settings, snapshot.base_sizes)
        plan = grow(snapshot.units, counts, start=self._settings.start, generator=snapshot.generator)
        return Decision(plan, reason="start of a cycle", fold=None)

    def _pruning(self, snapshot: Snapshot) -> Decision:
        assert snapshot.scores is not None
        positions = {
            group.name: least_important(
                snapshot.scores[group.name],
                group.size - snapshot.base_sizes[group.name],
                self._protected(group.name, snapshot),
            )
            for group in snapshot.units.groups
        }
        return Decision(prune(snapshot.units, positions), reason="back to the base size", fold=None)

    def _protected(self, group: str, snapshot: Snapshot) -> Tensor:
        if snapshot.head_scores is None:
            return torch.empty(0, dtype=torch.long)
        count = int(self._settings.protected_share * snapshot.base_sizes[group])
        return most_important(snapshot.head_scores[group], count)


def least_important(scores: Tensor, count: int, protected: Tensor) -> tuple[int, ...]:
    """Return the positions of the `count` lowest scores among those not protected, in ascending order.

    Args:
        scores: `(size,)`, higher is more important. Ties fall to the later position, which is the younger neuron.
        count: How many, at most size minus the number of protected ones.
        protected: Positions that stay whatever their score.
    """
    candidates = scores.detach().to("cpu", torch.float64).clone()
    candidates[protected.cpu()] = torch.inf
    order = candidates.flip(0).argsort(stable=True)  # flipped, so that the youngest comes first among equals
    return tuple(sorted((len(scores) - 1 - order[:count]).tolist()))


def most_important(scores: Tensor, count: int) -> Tensor:
    """Return the positions of the `count` highest scores; ties go to the earlier position, the older neuron."""
    return scores.detach().to("cpu", torch.float64).argsort(stable=True, descending=True)[:count]


def added_sizes(settings: PeriodicSettings, base_sizes: Mapping[str, int]) -> dict[str, int]:
    """Return how many neurons a cycle adds to each group; symmetric pairs round up to an even number."""
    even = settings.start == "symmetric_pair"
    counts = {name: max(1, round(settings.grow_share * size)) for name, size in base_sizes.items()}
    return {name: count + count % 2 if even else count for name, count in counts.items()}
