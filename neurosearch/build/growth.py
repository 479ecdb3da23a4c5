"""Our kinds of growth: their fields, their rules, and how a policy comes of them.

Importing this module imports no torch: `check` reads the fields of every kind.
"""

from math import ceil
from typing import TYPE_CHECKING

from neurosearch.config.growth import (
    EventsFields,
    NimbleFields,
    PeriodicFields,
    RecycleFields,
    StaticFields,
    WideThenPruneFields,
)
from neurosearch.config.growth_rules import (
    events_fit,
    importance_has_classes,
    nimble_control_fits,
    nimble_shares_fit,
    nimble_sharing_fits,
    periodic_cycle_fits,
    recycling_fits,
    wide_begins_untrained,
    wide_phase_fits,
)
from neurosearch.config.kinds import Kind

if TYPE_CHECKING:
    from neurosearch.training.seams import GrowthPolicy


def build_static(_fields: StaticFields) -> "GrowthPolicy":
    """Builds the control: a policy that never changes anything."""
    from neurosearch.growth.static import StaticPolicy

    return StaticPolicy()


def build_periodic(fields: PeriodicFields) -> "GrowthPolicy":
    """Builds the policy that grows and prunes in cycles (arXiv:2507.09940, our reading)."""
    from neurosearch.growth.periodic import PeriodicPolicy, PeriodicSettings

    return PeriodicPolicy(PeriodicSettings(**fields.model_dump(exclude={"kind"})))


def build_events(fields: EventsFields) -> "GrowthPolicy":
    """Builds the policy that grows and prunes at listed epochs."""
    from neurosearch.growth.events import Event, EventsPolicy, EventsSettings

    pairs = zip(fields.events, fields.shares, strict=True)
    events = tuple(Event(epoch=event.epoch, share=share) for event, share in pairs)
    return EventsPolicy(EventsSettings(events=events, **fields.model_dump(exclude={"kind", "events"})))


def build_recycle(fields: RecycleFields) -> "GrowthPolicy":
    """Builds the policy that begins dormant neurons anew (arXiv:2302.12902, arXiv:2505.24061)."""
    from neurosearch.growth.recycle import RecyclePolicy, RecycleSettings

    return RecyclePolicy(RecycleSettings(**fields.model_dump(exclude={"kind"})))


def build_wide_then_prune(fields: WideThenPruneFields) -> "GrowthPolicy":
    """Builds the policy that begins wide and prunes once."""
    from neurosearch.growth.wide_then_prune import WideThenPrunePolicy, WideThenPruneSettings

    return WideThenPrunePolicy(WideThenPruneSettings(**fields.model_dump(exclude={"kind"})))


def build_nimble(fields: NimbleFields) -> "GrowthPolicy":
    """Builds the policy with a trained size (arXiv:2501.18012): our per-neuron reading, or the public code's mask."""
    if fields.control == "as_published":
        return _build_mask(fields)
    from neurosearch.growth.nimble import NimblePolicy, NimbleSettings

    return NimblePolicy(NimbleSettings(**fields.model_dump(exclude={"kind", "control"})))


def _build_mask(fields: NimbleFields) -> "GrowthPolicy":
    from neurosearch.growth.mask import MaskPolicy, MaskSettings

    return MaskPolicy(
        MaskSettings(
            size_coefficient=fields.size_coefficient,
            start=fields.start_share,
            size_input=fields.size_input,
            column_scale=fields.column_scale,
            sharing=fields.sharing,
            learning_rate=fields.learning_rate,
        )
    )


def peak_periodic(fields: PeriodicFields, base_size: int) -> int:
    """Returns the most neurons that a group may hold in the middle of a cycle."""
    from neurosearch.growth.resizing import LARGEST_DEMAND, size_at

    added = size_at(fields.grow_share, base_size, fields.start) - base_size
    return base_size + added * (LARGEST_DEMAND if fields.groups == "tail_demand" else 1)


def peak_events(fields: EventsFields, base_size: int) -> int:
    """Returns the most neurons that a group holds after any event."""
    from neurosearch.growth.resizing import size_at

    return max(size_at(share, base_size, fields.start) for share in (0.0, *fields.shares))


def peak_recycle(_fields: RecycleFields, base_size: int) -> int:
    """Returns the base size: a group is never larger, but old and new tensors are there together while it changes."""
    return base_size


def peak_wide_then_prune(fields: WideThenPruneFields, base_size: int) -> int:
    """Returns the neurons that a group holds until the network is pruned."""
    from neurosearch.growth.resizing import size_at

    return size_at(fields.grow_share, base_size, "zero_outgoing")


def peak_nimble(fields: NimbleFields, base_size: int) -> int:
    """Returns the most neurons that a trained size allows; the network begins with its base size in any case."""
    return max(base_size, ceil(fields.maximum_share * base_size))


STATIC = Kind(StaticFields, build_static)
PERIODIC = Kind(PeriodicFields, build_periodic, rules=(periodic_cycle_fits, importance_has_classes), peak=peak_periodic)
EVENTS = Kind(EventsFields, build_events, rules=(events_fit, importance_has_classes), peak=peak_events)
RECYCLE = Kind(RecycleFields, build_recycle, rules=(recycling_fits,), peak=peak_recycle)
WIDE_THEN_PRUNE = Kind(
    WideThenPruneFields,
    build_wide_then_prune,
    rules=(wide_phase_fits, wide_begins_untrained, importance_has_classes),
    peak=peak_wide_then_prune,
)
NIMBLE = Kind(
    NimbleFields, build_nimble, rules=(nimble_shares_fit, nimble_control_fits, nimble_sharing_fits), peak=peak_nimble
)
