"""What a training minimises: one frozen class of fields for each kind of loss, told apart by `kind`.

The kind's name alone is the short form of the kind with its defaults: `loss: focal` says what `loss: {kind: focal}`
says. Counts n_c are training examples of class c, pi_c their share of all.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from neurosearch.config.base import Fields, Number, PositiveFloat, spelt_out
from neurosearch.config.data import TaskKind

BETA = 0.9999  # the value that arXiv:1901.05555 and LDAM-DRW use for long-tailed CIFAR

Beta = Annotated[
    Number,
    Field(
        ge=0.0,
        lt=1.0,
        description="Of the effective number of examples (1 - beta^n) / (1 - beta); 0: every class weighs the same, "
        "towards 1: as the inverse of its count (arXiv:1901.05555, eq. 2)",
    ),
]
Focusing = Annotated[
    Number,
    Field(
        ge=0.0,
        le=10.0,
        description="Exponent of (1 - p) that takes weight from what is already right; 0: none (arXiv:1708.02002)",
    ),
]
Tau = Annotated[
    Number,
    Field(ge=0.0, le=10.0, description="Multiplier of log pi; 0: none, 1: consistent for the balanced error"),
]
SmoothingShare = Annotated[Number, Field(ge=0.0, lt=1.0)]


class CrossEntropyFields(Fields):
    """Cross-entropy of the softmax."""

    kind: Literal["cross_entropy"] = "cross_entropy"


class ClassBalancedFields(Fields):
    """Cross-entropy with class weights by the effective number of examples (arXiv:1901.05555).

    The weights sum to the number of classes; a batch's loss is divided by the sum of its weights, as torch does and as
    the public long-tail code has it, not by the number of examples, as the paper's own TensorFlow code does.
    """

    kind: Literal["class_balanced"] = "class_balanced"
    beta: Beta = BETA


class FocalFields(Fields):
    """Cross-entropy times (1 - p)^gamma, p the softmax of the true class (arXiv:1708.02002, eq. 4)."""

    kind: Literal["focal"] = "focal"
    gamma: Focusing = 1.0


class ClassBalancedFocalFields(Fields):
    """Focal loss of a sigmoid for each class, with class-balanced weights (arXiv:1901.05555, section 4)."""

    kind: Literal["class_balanced_focal"] = "class_balanced_focal"
    beta: Beta = BETA
    gamma: Focusing = 0.5


class LdamFields(Fields):
    """Cross-entropy with larger margins for rarer classes, over cosines (arXiv:1906.07413, section 3).

    The network's last layer becomes one over normalised features and weights; its outputs are scale times the cosine.
    The neurons that feed it neither come nor go: each of them changes the length of all features. LDAM-DRW is this with
    `training.deferred_reweighting_share: 0.2`.
    """

    kind: Literal["ldam"] = "ldam"
    max_margin: Annotated[Number, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="Margin of the rarest class, in units of the cosine; others: proportional to n^(-1/4)"
    )
    scale: Annotated[PositiveFloat, Field(le=1000.0)] = Field(30.0, description="Multiplier of the cosines")


class LogitAdjustmentFields(Fields):
    """Cross-entropy of z + tau log pi (arXiv:2007.07314, eq. 10)."""

    kind: Literal["logit_adjustment"] = "logit_adjustment"
    tau: Tau = 1.0


class BalancedSoftmaxFields(Fields):
    """Cross-entropy of z + log pi (arXiv:2007.10740, eq. 4): logit adjustment with tau 1."""

    kind: Literal["balanced_softmax"] = "balanced_softmax"


class VsFields(Fields):
    """Vector scaling: cross-entropy of (n / n_max)^gamma z + tau log pi (arXiv:2103.01550)."""

    kind: Literal["vs"] = "vs"
    gamma: Annotated[Number, Field(ge=0.0, le=2.0)] = Field(
        0.15, description="Exponent of the multiplicative adjustment; 0: logit adjustment"
    )
    tau: Tau = 1.0


class LabelAwareSmoothingFields(Fields):
    """Cross-entropy with labels smoothed more for commoner classes (MiSLAS, arXiv:2104.00466)."""

    kind: Literal["label_aware_smoothing"] = "label_aware_smoothing"
    head: SmoothingShare = Field(0.3, description="Share of a label spread over all classes, for the commonest class")
    tail: SmoothingShare = Field(0.0, description="The same for the rarest class; at most `head`")
    shape: Literal["concave", "linear", "convex"] = Field(
        "concave", description="How the share falls from the commonest to the rarest class, over their counts"
    )


class MseFields(Fields):
    """Mean squared error of the standardised targets."""

    kind: Literal["mse"] = "mse"


class MaeFields(Fields):
    """Mean absolute error of the standardised targets."""

    kind: Literal["mae"] = "mae"


class HuberFields(Fields):
    """Squared error up to one deviation of the target, absolute beyond (Huber 1964, doi:10.1214/aoms/1177703732)."""

    kind: Literal["huber"] = "huber"


ClassLossFields = (
    CrossEntropyFields
    | ClassBalancedFields
    | FocalFields
    | ClassBalancedFocalFields
    | LdamFields
    | LogitAdjustmentFields
    | BalancedSoftmaxFields
    | VsFields
    | LabelAwareSmoothingFields
)
RegressionLossFields = MseFields | MaeFields | HuberFields
LossFields = ClassLossFields | RegressionLossFields

#: The losses of each task by their kind, the usual one first.
LOSSES: Mapping[TaskKind, Mapping[str, type[Fields]]] = {
    "classification": {each.model_fields["kind"].default: each for each in ClassLossFields.__args__},
    "regression": {each.model_fields["kind"].default: each for each in RegressionLossFields.__args__},
}
LOSS_KINDS: Mapping[str, type[Fields]] = {**LOSSES["classification"], **LOSSES["regression"]}

_LossName = Literal[
    "cross_entropy",
    "class_balanced",
    "focal",
    "class_balanced_focal",
    "ldam",
    "logit_adjustment",
    "balanced_softmax",
    "vs",
    "label_aware_smoothing",
    "mse",
    "mae",
    "huber",
]
_Tagged = Annotated[LossFields, Field(discriminator="kind")]


#: A loss as a file may have it: a section with a `kind`, or the kind alone.
Loss = Annotated[
    LossFields, Field(discriminator="kind"), BeforeValidator(spelt_out, json_schema_input_type=_LossName | _Tagged)
]
