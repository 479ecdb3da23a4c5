"""Grow and prune at listed epochs, by listed amounts, and end at the configured size.

The general form of the periodic cycles (our reading of arXiv:2507.09940), for schedules that are searched event by
event.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch

from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.growth.resizing import changing, growth, growth_need, pruning, pruning_need, sizes_at
from neurosearch.growth.untrained import UntrainedSizes
from neurosearch.neurons import Units


@dataclass(frozen=True)
class Event:
    """A change of every group's size.

    Attributes:
        epoch: Whole epochs trained before it; 0 comes before the first step.
        share: Where it leads: neurons above the base size (below it, if negative), as a share of the base size.
    """

    epoch: int
    share: float


@dataclass(frozen=True)
class EventsSettings:
    """What happens when, and by which measure.

    Attributes:
        events: By ascending epochs; the last one leads to share 0.
        start: How new neurons begin (see `neurons.grow`).
        importance: Score by which neurons stay (see `neurons.importance`).
        protected_share: Neurons never pruned, the most important to the head classes, as a share of the base size.
        copy_noise: Of noisy copies, in units of their incoming weights' root mean square.
        merge_threshold: Least likeness at which a pruned neuron's outgoing weights go to a near-duplicate that stays
            (see `neurons.near_duplicates`); 0: they are pruned with it.
    """

    events: tuple[Event, ...]
    start: str
    importance: str
    protected_share: float
    copy_noise: float
    merge_threshold: float


class EventsPolicy(UntrainedSizes):
    """Brings every group to the size that each event names, by growth or by pruning.

    An event names where the sizes go and not how many neurons come: sizes are rounded from the share alone, so
    additions and removals cancel at every width. Everything follows from the clock, so there is no state.
    """

    def __init__(self, settings: EventsSettings) -> None:
        assert settings.events[-1].share == 0
        self._settings = settings
        self._shares = (0.0, *(event.share for event in settings.events))  # before the first event and after each
        self._events = {event.epoch: event for event in settings.events}
        changes = zip(self._events, pairwise(self._shares), strict=True)
        self._grows = {epoch: after > before for epoch, (before, after) in changes}
        self._needs: dict[int, Need] = {}

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:  # noqa: ARG002
        """Find out what each event needs; sizes before and after it follow from the shares."""
        settings = self._settings
        base_sizes = {group.name: group.size for group in units.groups}
        sizes = [sizes_at(share, base_sizes, settings.start) for share in self._shares]
        for event, (before, after) in zip(settings.events, pairwise(sizes), strict=True):
            is_growth = self._grows[event.epoch]
            prunes = pruning_need(settings.importance, settings.protected_share, settings.merge_threshold)
            self._needs[event.epoch] = growth_need(settings.start, before, after) if is_growth else prunes

    def due(self, clock: Clock) -> Need | None:
        """Return what growing or pruning needs, at the epoch boundaries that have an event."""
        return self._needs.get(clock.epoch) if clock.epoch_ended else None

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the event's growth or pruning."""
        settings, event = self._settings, self._events.get(snapshot.clock.epoch)
        if event is None:
            return ()
        base_sizes = changing(snapshot, settings.start)
        sizes, reason = sizes_at(event.share, base_sizes, settings.start), _reason(event)
        if self._grows[event.epoch]:
            return (growth(snapshot, sizes, settings.start, settings.copy_noise, reason),)
        before = sizes_at(self._share_before_growth(event), base_sizes, settings.start)
        newcomers = {g.name: max(g.size - before[g.name], 0) for g in snapshot.units.groups if g.name in before}
        return (pruning(snapshot, sizes, newcomers, settings.importance, settings.protected_share, reason),)

    def _share_before_growth(self, pruning_event: Event) -> float:
        """Return the share that the growth right before a pruning began at; that of the pruning if there was none."""
        index = self._settings.events.index(pruning_event)  # the shares begin one earlier, before the first event
        while index and self._shares[index - 1] < self._shares[index]:
            index -= 1
        return self._shares[index]


def _reason(event: Event) -> str:
    return f"to {event.share:+.4g} of the base size" if event.share else "back to the base size"
