"""Rules over the fields of growth and of others: each says which fields clash and how to mend it."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from neurosearch.config.growth import EventsFields, NimbleFields, PeriodicFields, RecycleFields, WideThenPruneFields
from neurosearch.config.kinds import Conflict
from neurosearch.config.rules import before_the_last_drop, task_kind
from neurosearch.epochs import epochs_within

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig


def periodic_cycle_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """A cycle's pruning must fall inside its period, and the first one inside the training."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, PeriodicFields)
    last = epochs_within(growth.stop_share, epochs)
    if growth.grown_epochs >= growth.period_epochs:
        yield Conflict(
            ("growth.grown_epochs", "growth.period_epochs"),
            f"grown_epochs is {growth.grown_epochs} but period_epochs is {growth.period_epochs}, so a cycle would grow "
            "again before it has pruned. Lower grown_epochs or raise period_epochs.",
        )
    if growth.grown_epochs > last:
        yield Conflict(
            ("growth.grown_epochs", "training.epochs"),
            f"grown_epochs is {growth.grown_epochs}, but cycles must be closed by epoch {last} "
            f"(stop_share {growth.stop_share} of epochs {epochs}), so no neuron would ever be added. "
            "Lower grown_epochs, or raise stop_share or epochs.",
        )
    elif growth.grown_epochs < growth.period_epochs:
        pruned = (last - growth.grown_epochs) // growth.period_epochs * growth.period_epochs + growth.grown_epochs
        yield from before_the_last_drop(config, "growth.stop_share", pruned, "the last cycle is pruned")


def recycling_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """Neurons are looked at inside the training, and recycled ones are still trained."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, RecycleFields)
    last = min(epochs_within(growth.stop_share, epochs), epochs - 1)
    if growth.period_epochs > last:
        yield Conflict(
            ("growth.period_epochs", "training.epochs"),
            f"period_epochs is {growth.period_epochs}, but neurons are recycled up to epoch {last} alone "
            f"(stop_share {growth.stop_share} of epochs {epochs}), so none ever would be. Lower period_epochs, or "
            "raise stop_share or epochs.",
        )
    else:
        recycled = last // growth.period_epochs * growth.period_epochs
        yield from before_the_last_drop(config, "growth.stop_share", recycled, "neurons are recycled")


def wide_phase_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """The wide network is trained for an epoch at least, and so is what is left of it."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, WideThenPruneFields)
    pruned = epochs_within(growth.prune_share, epochs)
    if not 0 < pruned < epochs:
        yield Conflict(
            ("growth.prune_share", "training.epochs"),
            f"prune_share {growth.prune_share} of epochs {epochs} is after {pruned} epochs, but at least one must "
            "train the wide network, and one what is left of it. "
            + ("Lower prune_share, or raise epochs." if pruned else "Raise prune_share or epochs."),
        )
    else:
        yield from before_the_last_drop(config, "growth.prune_share", pruned, "the network is pruned")


def wide_begins_untrained(config: "TrialConfig") -> Iterator[Conflict]:
    """A wider beginning draws weights for a network that knows nothing yet; one that does would forget."""
    if getattr(config.model, "weights", None) is not None:
        yield Conflict(
            ("growth.kind", "model.weights"),
            "kind is wide_then_prune, which begins with more neurons, drawn as in a fresh network, but weights starts "
            "from what was trained before, which they would spoil. Take weights out, or choose periodic or recycle, "
            "whose new neurons keep what the network computes.",
        )


def events_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Events ascend, leave the last epochs to the final structure, and add and remove the same."""
    assert isinstance(config.growth, EventsFields)
    yield from _events_ascend(config.growth)
    yield from _events_leave_the_end_alone(config)
    yield from _events_cancel(config.growth)


def _events_ascend(growth: EventsFields) -> Iterator[Conflict]:
    epochs = [event.epoch for event in growth.events]
    for index, (before, epoch) in enumerate(pairwise(epochs)):
        if epoch <= before:
            yield Conflict(
                (f"growth.events[{index + 1}].epoch", f"growth.events[{index}].epoch"),
                f"an event at epoch {epoch} stands after one at epoch {before}. Order events by epoch, one for each.",
            )


def _events_leave_the_end_alone(config: "TrialConfig") -> Iterator[Conflict]:
    assert isinstance(config.growth, EventsFields)
    training, events = config.training, config.growth.events
    index = max(range(len(events)), key=lambda position: events[position].epoch)
    field, epoch = f"growth.events[{index}].epoch", events[index].epoch
    if epoch >= training.epochs:
        yield Conflict(
            (field, "training.epochs"),
            f"an event comes after {epoch} epochs, but epochs is {training.epochs} and at least the last one must "
            "train the final network. Let the last event come earlier, or raise epochs.",
        )
    else:
        yield from before_the_last_drop(config, field, epoch, "an event comes")


def _events_cancel(growth: EventsFields) -> Iterator[Conflict]:
    shares = growth.shares
    lowest = min(range(len(shares)), key=lambda position: shares[position])
    removal = f"growth.events[{lowest}].remove_share"
    if shares[lowest] <= -1:
        yield Conflict(
            (removal,),
            f"with it, {-shares[lowest]:.6g} of the base width would be gone, and no neuron left. Remove less "
            "before neurons are added again.",
        )
    elif growth.protected_share > 1 + shares[lowest]:
        yield Conflict(
            (removal, "growth.protected_share"),
            f"it leaves {1 + shares[lowest]:.6g} of the base width, but protected_share is {growth.protected_share}. "
            "Remove less, or lower protected_share.",
        )
    if shares[-1] != 0:
        added = math.fsum(event.add_share or 0.0 for event in growth.events)
        removed = math.fsum(event.remove_share or 0.0 for event in growth.events)
        more, less = ("add_share", "remove_share") if shares[-1] > 0 else ("remove_share", "add_share")
        yield Conflict(
            ("growth.events",),
            f"all add_share sum up to {added:.9g} and all remove_share to {removed:.9g}, so the final network would "
            f"not have the model's widths. Lower {more} or raise {less} by {abs(shares[-1]):.9g} in all.",
        )


def nimble_shares_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Start and target lie within the largest size allowed."""
    growth = config.growth
    assert isinstance(growth, NimbleFields)
    for name, value in (("target_share", growth.target_share), ("start_share", growth.start_share)):
        if value > growth.maximum_share:
            yield Conflict(
                (f"growth.{name}", "growth.maximum_share"),
                f"{name} is {value} but maximum_share is {growth.maximum_share}. Lower {name} or raise maximum_share.",
            )


def nimble_control_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """The published control always pulls to the whole layer, and no neuron comes or goes with it."""
    growth = config.growth
    assert isinstance(growth, NimbleFields)
    if growth.control != "as_published":
        return
    for name, value in (("target_share", growth.target_share), ("maximum_share", growth.maximum_share)):
        if value != 1:
            yield Conflict(
                (f"growth.{name}", "growth.control"),
                f"{name} is {value}, but control is as_published, which pulls to the whole layer and adds no neuron. "
                f"Set {name}: 1.0, or control: per_neuron.",
            )
    if growth.size_unit != "share":
        yield Conflict(
            ("growth.size_unit", "growth.control"),
            "size_unit is neurons, but control is as_published, whose size loss counts the control and no neurons. "
            "Set size_unit: share, or control: per_neuron.",
        )


def nimble_sharing_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """No group is in two sets; whether the network has such groups is only known once it is built."""
    growth = config.growth
    assert isinstance(growth, NimbleFields)
    if isinstance(growth.sharing, str):
        return
    first: dict[str, str] = {}
    for index, names in enumerate(growth.sharing):
        for position, name in enumerate(names):
            field = f"growth.sharing[{index}][{position}]"
            if name in first:
                yield Conflict((field, first[name]), f"group {name} stands in two places. Name each group once.")
            first.setdefault(name, field)


def importance_has_classes(config: "TrialConfig") -> Iterator[Conflict]:
    """What looks at classes, or at some of them, needs a task that has them."""
    growth = config.growth
    assert isinstance(growth, PeriodicFields | EventsFields | WideThenPruneFields)
    if task_kind(config) != "regression":
        return
    if growth.importance == "class_balanced_taylor":
        yield Conflict(
            ("growth.importance", "data.task"),
            "importance is class_balanced_taylor, which needs classes, but the task is regression. "
            "Set importance: taylor.",
        )
    if growth.protected_share > 0:
        yield Conflict(
            ("growth.protected_share", "data.task"),
            f"protected_share is {growth.protected_share}, which protects what head classes need, but the task is "
            "regression, which has no classes. Take protected_share out.",
        )
    if getattr(growth, "groups", "all") == "tail_demand":
        yield Conflict(
            ("growth.groups", "data.task"),
            "groups is tail_demand, which asks for classes with few examples, but the task is regression, which has "
            "none. Set groups: all.",
        )
