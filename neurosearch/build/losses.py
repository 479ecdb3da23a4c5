"""From the fields of a loss to the loss."""

from collections.abc import Sequence
from typing import assert_never

from torch import Tensor

from neurosearch.config.losses import (
    BalancedSoftmaxFields,
    ClassBalancedFields,
    ClassBalancedFocalFields,
    ClassLossFields,
    CrossEntropyFields,
    FocalFields,
    LabelAwareSmoothingFields,
    LdamFields,
    LogitAdjustmentFields,
    VsFields,
)
from neurosearch.training.losses import (
    ClassBalancedFocal,
    ClassLoss,
    CrossEntropy,
    Focal,
    LabelAwareSmoothing,
    Ldam,
    LogitAdjustment,
    VectorScaling,
    class_balanced_weights,
)


def build_loss(  # noqa: PLR0911  # one for each kind
    fields: ClassLossFields, class_counts: Sequence[int], weights: Tensor | None
) -> ClassLoss:
    """Builds a loss of classes.

    Args:
        fields: Which, and its numbers.
        class_counts: Training examples of each class, none of them 0.
        weights: Of the classes, `(c,)`, where the training weights them late; losses with weights of their own take no
            others (a rule of the config).
    """
    match fields:
        case CrossEntropyFields():
            return CrossEntropy(fields.kind, weights)
        case ClassBalancedFields():
            return CrossEntropy(fields.kind, class_balanced_weights(class_counts, fields.beta))
        case FocalFields():
            return Focal(fields.gamma, weights)
        case ClassBalancedFocalFields():
            return ClassBalancedFocal(fields.gamma, class_balanced_weights(class_counts, fields.beta))
        case LdamFields():
            return Ldam(class_counts, fields.max_margin, fields.scale, weights)
        case LogitAdjustmentFields():
            return LogitAdjustment(fields.kind, class_counts, fields.tau, weights)
        case BalancedSoftmaxFields():
            return LogitAdjustment(fields.kind, class_counts, 1.0, weights)
        case VsFields():
            return VectorScaling(class_counts, fields.gamma, fields.tau, weights)
        case LabelAwareSmoothingFields():
            return LabelAwareSmoothing(class_counts, fields.head, fields.tail, fields.shape, weights)
        case _:
            assert_never(fields)
