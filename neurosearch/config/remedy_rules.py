"""Rules between the remedies for imbalance: which exclude each other, and what they need of task and data."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosearch.config.kinds import Conflict, Rule
from neurosearch.config.losses import (
    BalancedSoftmaxFields,
    ClassBalancedFields,
    ClassBalancedFocalFields,
    LabelAwareSmoothingFields,
    LogitAdjustmentFields,
    VsFields,
)
from neurosearch.config.remedies import RetrainedFields
from neurosearch.config.rules import task_kind
from neurosearch.config.training import TrainingFields

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig


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
    posthoc = f"posthoc_tau is {training.posthoc_tau}"
    if _adjusts(training):
        yield Conflict(
            ("training.posthoc_tau", "training.loss"),
            f"{posthoc}, but loss {training.loss.kind} adjusts logits by the class shares while training, so that "
            "would be done twice. Set posthoc_tau to 0, or loss to cross_entropy.",
        )
    elif task_kind(config) == "regression":
        yield Conflict(
            ("training.posthoc_tau", "data.task"),
            f"{posthoc}, which adjusts the logits of classes, but the task is regression, which has none. Take it out.",
        )


def _adjusts(training: TrainingFields) -> bool:
    """Returns whether the loss adjusts logits by the class shares."""
    loss = training.loss
    return isinstance(loss, BalancedSoftmaxFields) or (
        isinstance(loss, LogitAdjustmentFields | VsFields) and loss.tau > 0
    )


def _adjusted_shares_are_those_of_the_data(config: "TrialConfig") -> Iterator[Conflict]:
    """Logits are adjusted by the class shares of the data, which are not those that other samplings train on."""
    training = config.training
    sampling, remedy = f"sampling is {training.sampling}", "so the class shares would be made up for twice"
    if training.sampling == "instance":
        return
    if _adjusts(training):
        yield Conflict(
            ("training.sampling", "training.loss"),
            f"{sampling}, which shows rare classes more often, but loss {training.loss.kind} adjusts logits by the "
            f"class shares of the data, {remedy}. Set sampling to instance, or loss to cross_entropy.",
        )
    # A retrained classifier is drawn anew, and its own sampling counts.
    elif training.posthoc_tau > 0 and not isinstance(training.classifier, RetrainedFields):
        yield Conflict(
            ("training.posthoc_tau", "training.sampling"),
            f"posthoc_tau is {training.posthoc_tau}, but {sampling}, which shows rare classes more often, {remedy}. "
            "Set posthoc_tau to 0, or sampling to instance.",
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


def _mixing_has_partners(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.mixing.kind != "none" and training.batch_size == 1:
        yield Conflict(
            ("training.mixing", "training.batch_size"),
            f"mixing is {training.mixing.kind}, which mixes the examples of a step, but batch_size is 1, so each would "
            "be mixed with itself. Set batch_size to 2 or more, or mixing to none.",
        )


def _augmentation_has_images(config: "TrialConfig") -> Iterator[Conflict]:
    if config.training.augmentation.kind != "none" and getattr(config.data, "layout", None) == "features":
        yield Conflict(
            ("training.augmentation", "data.layout"),
            f"augmentation is {config.training.augmentation.kind}, which needs images, but data.layout is features. "
            "Set augmentation to none.",
        )


def _head_is_a_linear_layer(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.loss.kind != "ldam":
        return
    if training.classifier.kind != "joint":
        yield Conflict(
            ("training.classifier", "training.loss"),
            f"classifier is {training.classifier.kind}, which changes a linear layer, but loss ldam makes the last one "
            "a layer of cosines, whose weights have no lengths. Set classifier to joint, or choose another loss.",
        )
    if training.zap_period_epochs > 0:
        yield Conflict(
            ("training.zap_period_epochs", "training.loss"),
            f"zap_period_epochs is {training.zap_period_epochs}, which draws a linear class head anew, but loss ldam "
            "makes the last layer one of cosines. Set zap_period_epochs to 0, or choose another loss.",
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
    _adjusted_shares_are_those_of_the_data,
    _remedies_have_classes,
    _mixing_has_partners,
    _augmentation_has_images,
    _head_is_a_linear_layer,
    _second_stage_adjusts_once,
)
