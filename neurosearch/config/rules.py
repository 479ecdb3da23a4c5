"""Rules over several fields: each says which fields clash and how to mend it."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from neurosearch.config.data import DataFields, FunctionFields, ImageListFields, NpzFields, SpiralFields, TaskKind
from neurosearch.config.growth import EventsFields, NimbleFields, PeriodicFields, RecycleFields, WideThenPruneFields
from neurosearch.config.kinds import Conflict, Rule
from neurosearch.config.losses import (
    LOSSES,
    BalancedSoftmaxFields,
    ClassBalancedFields,
    ClassBalancedFocalFields,
    LabelAwareSmoothingFields,
    LogitAdjustmentFields,
    VsFields,
)
from neurosearch.config.model import ResnetCifarFields, VitFields
from neurosearch.config.remedies import RetrainedFields
from neurosearch.config.s3 import S3Fields, is_on_s3

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig


def _warmup_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.warmup_epochs >= training.epochs:
        yield Conflict(
            ("training.warmup_epochs", "training.epochs"),
            f"warmup_epochs is {training.warmup_epochs} but epochs is {training.epochs}, so the full learning rate is "
            "never reached. Lower warmup_epochs or raise epochs.",
        )


def _drops_ascend(config: "TrialConfig") -> Iterator[Conflict]:
    drops = config.training.drops
    if list(drops) != sorted(set(drops)):
        yield Conflict(("training.drops",), f"drops are {list(drops)}; write them ascending and each once.")


def s3_has_an_address(config: "TrialConfig") -> Iterator[Conflict]:
    """How S3 is reached matters to addresses in it alone."""
    data = config.data
    assert isinstance(data, NpzFields | ImageListFields)
    paths = [data.path] if isinstance(data, NpzFields) else [data.path, data.train_list, data.test_list or ""]
    if data.s3 != S3Fields() and not any(map(is_on_s3, paths)):
        yield Conflict(
            ("data.s3", "data.path"),
            f"s3 says how S3 is reached, but nothing has an s3:// address: path is {data.path}. Write "
            "s3://BUCKET/PREFIX, or take s3 out.",
        )


def _zapping_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    period, last = training.zap_period_epochs, min(int(training.zap_stop_share * training.epochs), training.epochs - 1)
    if period > last:
        yield Conflict(
            ("training.zap_period_epochs", "training.epochs"),
            f"zap_period_epochs is {period}, but the class head is drawn anew up to epoch {last} alone (zap_stop_share "
            f"{training.zap_stop_share} of epochs {training.epochs}), so it never would be. Lower zap_period_epochs, "
            "or raise zap_stop_share or epochs.",
        )
    elif period:
        drawn = last // period * period
        yield from _before_the_last_drop(config, "training.zap_stop_share", drawn, "the class head is drawn anew")


def periodic_cycle_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """A cycle's pruning must fall inside its period, and the first one inside the training."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, PeriodicFields)
    last = int(growth.stop_share * epochs)
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
        yield from _before_the_last_drop(config, "growth.stop_share", pruned, "the last cycle is pruned")


def _before_the_last_drop(config: "TrialConfig", field: str, epoch: int, what: str) -> Iterator[Conflict]:
    """What changes after the learning rate has dropped for the last time is hardly trained."""
    training = config.training
    last_drop = math.ceil(max(training.drops, default=1.0) * training.epochs)
    if training.schedule == "step" and epoch > last_drop:
        yield Conflict(
            (field, "training.drops"),
            f"{what} after {epoch} epochs, but the learning rate drops for the last time after {last_drop}: what comes "
            "or goes later is hardly trained. Let it be earlier, or drop later.",
        )


def recycling_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """Neurons are looked at inside the training, and recycled ones are still trained."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, RecycleFields)
    last = min(int(growth.stop_share * epochs), epochs - 1)
    if growth.period_epochs > last:
        yield Conflict(
            ("growth.period_epochs", "training.epochs"),
            f"period_epochs is {growth.period_epochs}, but neurons are recycled up to epoch {last} alone "
            f"(stop_share {growth.stop_share} of epochs {epochs}), so none ever would be. Lower period_epochs, or "
            "raise stop_share or epochs.",
        )
    else:
        recycled = last // growth.period_epochs * growth.period_epochs
        yield from _before_the_last_drop(config, "growth.stop_share", recycled, "neurons are recycled")


def wide_phase_fits(config: "TrialConfig") -> Iterator[Conflict]:
    """The wide network is trained for an epoch at least, and so is what is left of it."""
    growth, epochs = config.growth, config.training.epochs
    assert isinstance(growth, WideThenPruneFields)
    pruned = int(growth.prune_share * epochs)
    if not 0 < pruned < epochs:
        yield Conflict(
            ("growth.prune_share", "training.epochs"),
            f"prune_share {growth.prune_share} of epochs {epochs} is after {pruned} epochs, but at least one must "
            "train the wide network, and one what is left of it. "
            + ("Lower prune_share, or raise epochs." if pruned else "Raise prune_share or epochs."),
        )
    else:
        yield from _before_the_last_drop(config, "growth.prune_share", pruned, "the network is pruned")


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
        yield from _before_the_last_drop(config, field, epoch, "an event comes")


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


def function_has_spread(config: "TrialConfig") -> Iterator[Conflict]:
    """The interval has a length, the polynomial the degree of its name, and the function does not stay the same."""
    data = config.data
    assert isinstance(data, FunctionFields)
    low, high = data.interval
    if low >= high:
        yield Conflict(
            ("data.low", "data.high"),
            f"the interval begins at {low:g} and ends at {high:g}, so the function has no spread. Lower low or raise "
            "high.",
        )
    if data.coefficients is None:
        return
    if data.function not in ("cubic", "quadratic"):
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"coefficients are those of a polynomial, but function is {data.function}. Take them out, or set function: "
            "cubic or quadratic.",
        )
        return
    count = {"cubic": 4, "quadratic": 3}[data.function]
    if len(data.coefficients) != count:
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"there are {len(data.coefficients)} coefficients, but function is {data.function}. Give {count}, the "
            "highest power's first.",
        )
    elif not any(data.coefficients[:-1]):
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"all coefficients but the last are 0, so the {data.function} has no spread. "
            "Let one of them differ from 0.",
        )


def spiral_arms_have_points(config: "TrialConfig") -> Iterator[Conflict]:
    """Every arm has a point to train on, one to validate and one to test."""
    data = config.data
    assert isinstance(data, SpiralFields)
    if data.num_points < 3 * data.num_classes:
        yield Conflict(
            ("data.num_points", "data.num_classes"),
            f"num_points is {data.num_points} for {data.num_classes} classes, but each needs one point to train, one "
            f"to validate and one to test. Set num_points to {3 * data.num_classes} or more.",
        )


def resnet_stages_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Each stage has an inner width, and no stage is narrower than the one before it."""
    model = config.model
    assert isinstance(model, ResnetCifarFields)
    if len(model.widths) != len(model.inner_widths):
        yield Conflict(
            ("model.inner_widths", "model.widths"),
            f"inner_widths has {len(model.inner_widths)} stages and widths has {len(model.widths)}. Give both as many.",
        )
    if list(model.widths) != sorted(model.widths):
        yield Conflict(
            ("model.widths",),
            f"widths are {list(model.widths)}, but a shortcut can only add channels. Let no stage be narrower than the "
            "one before it.",
        )


def vit_heads_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """The shared width is split evenly among the heads."""
    model = config.model
    assert isinstance(model, VitFields)
    if model.hidden_dim % model.num_heads:
        yield Conflict(
            ("model.hidden_dim", "model.num_heads"),
            f"hidden_dim is {model.hidden_dim}, no multiple of num_heads {model.num_heads}, so the heads cannot share "
            "it. Change one of them.",
        )


def _loss_fits_the_task(config: "TrialConfig") -> Iterator[Conflict]:
    task, loss = task_kind(config), config.training.loss.kind
    if loss not in LOSSES[task]:
        what = "classes" if task == "regression" else "quantities"
        yield Conflict(
            ("training.loss", "data.task"),
            f"loss is {loss}, which needs {what}, but the task is {task}. Set loss to {' or '.join(LOSSES[task])}.",
        )


def _imbalance_has_classes(config: "TrialConfig") -> Iterator[Conflict]:
    if task_kind(config) == "regression" and getattr(config.data, "imbalance", None) is not None:
        yield Conflict(
            ("data.imbalance", "data.task"),
            "imbalance thins out classes, but the task is regression, which has none. Take imbalance out.",
        )


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


def task_kind(config: "TrialConfig") -> TaskKind:
    """Returns what the data's targets are."""
    return config.data.task_kind if isinstance(config.data, DataFields) else "classification"


def _smoothing_falls(config: "TrialConfig") -> Iterator[Conflict]:
    loss = config.training.loss
    if isinstance(loss, LabelAwareSmoothingFields) and loss.tail > loss.head:
        yield Conflict(
            ("training.loss.tail", "training.loss.head"),
            f"tail is {loss.tail} but head is {loss.head}, so labels of rare classes would be smoothed more than those "
            "of common ones. Lower tail or raise head.",
        )


def _is_reweighted_once(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.deferred_reweighting_share == 0:
        return
    share = f"deferred_reweighting_share is {training.deferred_reweighting_share}"
    if isinstance(training.loss, ClassBalancedFields | ClassBalancedFocalFields):
        yield Conflict(
            ("training.deferred_reweighting_share", "training.loss"),
            f"{share}, but loss {training.loss.kind} weights classes from the first epoch on. Set the share to 0, or "
            "loss to cross_entropy or focal.",
        )
    elif task_kind(config) == "regression":
        yield Conflict(
            ("training.deferred_reweighting_share", "data.task"),
            f"{share}, which weights classes, but the task is regression, which has none. Take it out.",
        )


def _is_adjusted_once(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.posthoc_tau == 0:
        return
    posthoc, loss = f"posthoc_tau is {training.posthoc_tau}", training.loss
    adjusts = isinstance(loss, BalancedSoftmaxFields) or (
        isinstance(loss, LogitAdjustmentFields | VsFields) and loss.tau > 0
    )
    if adjusts:
        yield Conflict(
            ("training.posthoc_tau", "training.loss"),
            f"{posthoc}, but loss {loss.kind} adjusts logits by the class shares while training, so that would be done "
            "twice. Set posthoc_tau to 0, or loss to cross_entropy.",
        )
    elif task_kind(config) == "regression":
        yield Conflict(
            ("training.posthoc_tau", "data.task"),
            f"{posthoc}, which adjusts the logits of classes, but the task is regression, which has none. Take it out.",
        )


def _remedies_have_classes(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if task_kind(config) != "regression":
        return
    for field, value, plain in (
        ("sampling", training.sampling, "instance"),
        ("mixing", training.mixing.kind, "none"),
        ("classifier", training.classifier.kind, "joint"),
    ):
        if value != plain:
            yield Conflict(
                (f"training.{field}", "data.task"),
                f"{field} is {value}, which needs classes, but the task is regression, which has none. "
                f"Set {field} to {plain}.",
            )


def _augmentation_has_images(config: "TrialConfig") -> Iterator[Conflict]:
    if config.training.augmentation.kind != "none" and getattr(config.data, "layout", None) == "features":
        yield Conflict(
            ("training.augmentation", "data.layout"),
            f"augmentation is {config.training.augmentation.kind}, which needs images, but data.layout is features. "
            "Set augmentation to none.",
        )


def _second_stage_has_a_linear_layer(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.classifier.kind != "joint" and training.loss.kind == "ldam":
        yield Conflict(
            ("training.classifier", "training.loss"),
            f"classifier is {training.classifier.kind}, which changes a linear layer, but loss ldam makes the last one "
            "a layer of cosines, whose weights have no lengths. Set classifier to joint, or choose another loss.",
        )


def _second_stage_adjusts_once(config: "TrialConfig") -> Iterator[Conflict]:
    training, classifier = config.training, config.training.classifier
    if not isinstance(classifier, RetrainedFields):
        return
    if classifier.tail_smoothing > classifier.head_smoothing:
        yield Conflict(
            ("training.classifier.tail_smoothing", "training.classifier.head_smoothing"),
            f"tail_smoothing is {classifier.tail_smoothing} but head_smoothing is {classifier.head_smoothing}, so "
            "labels of rare classes would be smoothed more than those of common ones. Lower tail_smoothing.",
        )
    if training.posthoc_tau > 0 and classifier.sampling != "instance":
        yield Conflict(
            ("training.posthoc_tau", "training.classifier.sampling"),
            f"posthoc_tau is {training.posthoc_tau}, but the classifier is retrained with sampling "
            f"{classifier.sampling}, which makes up for the class shares already. Set posthoc_tau to 0, or sampling to "
            "instance.",
        )


#: Which remedies for imbalance exclude each other.
REMEDY_RULES: tuple[Rule, ...] = (
    _smoothing_falls,
    _is_reweighted_once,
    _is_adjusted_once,
    _remedies_have_classes,
    _augmentation_has_images,
    _second_stage_has_a_linear_layer,
    _second_stage_adjusts_once,
)

#: Rules that hold for every kind; a kind's own rules stand in its `Kind`.
TRAINING_RULES: tuple[Rule, ...] = (
    _warmup_fits,
    _drops_ascend,
    _loss_fits_the_task,
    _imbalance_has_classes,
    _zapping_fits,
    *REMEDY_RULES,
)
