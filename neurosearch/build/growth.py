"""Our kinds of growth: their fields, their rules, and how a policy comes of them.

Importing this module imports no torch: `check` reads the fields of every kind.
"""

from math import ceil
from typing import TYPE_CHECKING

from neurosearch.config.growth import EventsFields, NimbleFields, PeriodicFields, StaticFields
from neurosearch.config.kinds import Kind
from neurosearch.config.rules import events_fit, importance_has_classes, nimble_shares_fit, periodic_cycle_fits

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


def build_nimble(fields: NimbleFields) -> "GrowthPolicy":
    """Builds the policy with a trained size (arXiv:2501.18012, our per-neuron reading)."""
    from neurosearch.growth.nimble import NimblePolicy, NimbleSettings

    return NimblePolicy(NimbleSettings(**fields.model_dump(exclude={"kind"})))


def peak_periodic(fields: PeriodicFields, base_size: int) -> int:
    """Returns the neurons that a group holds in the middle of a cycle."""
    from neurosearch.growth.resizing import size_at

    return size_at(fields.grow_share, base_size, fields.start)


def peak_events(fields: EventsFields, base_size: int) -> int:
    """Returns the most neurons that a group holds after any event."""
    from neurosearch.growth.resizing import size_at

    return max(size_at(share, base_size, fields.start) for share in (0.0, *fields.shares))


def peak_nimble(fields: NimbleFields, base_size: int) -> int:
    """Returns the most neurons that a trained size allows; the network begins with its base size in any case."""
    return max(base_size, ceil(fields.maximum_share * base_size))


STATIC = Kind(StaticFields, build_static)
PERIODIC = Kind(PeriodicFields, build_periodic, rules=(periodic_cycle_fits, importance_has_classes), peak=peak_periodic)
EVENTS = Kind(EventsFields, build_events, rules=(events_fit, importance_has_classes), peak=peak_events)
NIMBLE = Kind(NimbleFields, build_nimble, rules=(nimble_shares_fit,), peak=peak_nimble)
