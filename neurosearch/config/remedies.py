"""What feeds the network, and what becomes of its classifier: sections of the training, told apart by `kind`.

As for a loss, the kind's name alone is the short form of the kind with its defaults.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from neurosearch.config.base import Count, Fields, Number, PositiveFloat, Share, spelt_out

Sampling = Literal["instance", "square_root", "class_balanced", "progressive"]
Alpha = Annotated[
    Number,
    Field(
        gt=0.0,
        le=100.0,
        description="Of the beta distribution of the shares: near 0 hardly anything is mixed, 1: all shares are alike",
    ),
]
Smoothing = Annotated[Number, Field(ge=0.0, lt=1.0)]


class UnmixedFields(Fields):
    """Every example is trained on as it is."""

    kind: Literal["none"] = "none"


class MixupFields(Fields):
    """Every example is mixed with another one of its batch, label and input alike (arXiv:1710.09412)."""

    kind: Literal["mixup"] = "mixup"
    alpha: Alpha = 1.0


class RemixFields(Fields):
    """Mixup whose label goes to the rarer class where two classes differ much in size (arXiv:2007.03943)."""

    kind: Literal["remix"] = "remix"
    alpha: Alpha = 1.0
    kappa: Annotated[Number, Field(ge=1.0, le=1e6)] = Field(
        3.0, description="How many times as many examples the larger class has, where the rarer one takes the label"
    )
    tau: Share = Field(0.5, description="Below which share of the input the larger class loses its label")


class UnaugmentedFields(Fields):
    """Images are trained on as they are."""

    kind: Literal["none"] = "none"


class CropFlipFields(Fields):
    """Random crops out of padded images and random flips: the CIFAR recipe (arXiv:1512.03385, section 4.2)."""

    kind: Literal["crop_flip"] = "crop_flip"
    crop_padding: Annotated[int, Field(ge=0, le=256, strict=True)] = Field(
        4, description="Black pixels added on every side before a piece of the old size is cut out; 0: no crop"
    )
    flip: Annotated[bool, Field(strict=True)] = Field(True, description="Whether half of the images are mirrored")


class JointFields(Fields):
    """The classifier is what was trained with all the rest."""

    kind: Literal["joint"] = "joint"


class RetrainedFields(Fields):
    """After the last epoch the classifier is drawn anew and trained alone, all else frozen (cRT, arXiv:1910.09217).

    Images are not augmented or mixed then: what reaches the classifier is computed once, so its epochs cost next to
    nothing.
    """

    kind: Literal["retrained"] = "retrained"
    epochs: Count = Field(10, description="Passes over the training part's features")
    learning_rate: PositiveFloat = Field(0.1, description="Learning rate at the start; it falls to 0 by a cosine")
    sampling: Sampling = Field("class_balanced", description="As training.sampling, for these epochs")
    loss: Literal["cross_entropy", "label_aware_smoothing"] = Field(
        "cross_entropy", description="What is minimised (label_aware_smoothing: MiSLAS, arXiv:2104.00466)"
    )
    head_smoothing: Smoothing = Field(
        0.3, description="For label_aware_smoothing: share of a label spread over all classes, for the commonest class"
    )
    tail_smoothing: Smoothing = Field(
        0.0, description="For label_aware_smoothing: the same for the rarest class, at most head_smoothing"
    )


class TauNormalisedFields(Fields):
    """After the last epoch each class's weights are divided by their norm to the power tau (arXiv:1910.09217).

    Biases are dropped, as in the public code.
    """

    kind: Literal["tau_normalised"] = "tau_normalised"
    tau: Annotated[Number, Field(ge=0.0, le=2.0)] = Field(
        1.0, description="0: only the biases go; 1: all weights are equally long"
    )


MixingFields = UnmixedFields | MixupFields | RemixFields
AugmentationFields = UnaugmentedFields | CropFlipFields
ClassifierFields = JointFields | RetrainedFields | TauNormalisedFields

MIXING_KINDS: Mapping[str, type[Fields]] = {"none": UnmixedFields, "mixup": MixupFields, "remix": RemixFields}
AUGMENTATION_KINDS: Mapping[str, type[Fields]] = {"none": UnaugmentedFields, "crop_flip": CropFlipFields}
CLASSIFIER_KINDS: Mapping[str, type[Fields]] = {
    "joint": JointFields,
    "retrained": RetrainedFields,
    "tau_normalised": TauNormalisedFields,
}

_Mixing = Annotated[MixingFields, Field(discriminator="kind")]
_Augmentation = Annotated[AugmentationFields, Field(discriminator="kind")]
_Classifier = Annotated[ClassifierFields, Field(discriminator="kind")]
Mixing = Annotated[
    _Mixing, BeforeValidator(spelt_out, json_schema_input_type=Literal["none", "mixup", "remix"] | _Mixing)
]
Augmentation = Annotated[
    _Augmentation, BeforeValidator(spelt_out, json_schema_input_type=Literal["none", "crop_flip"] | _Augmentation)
]
Classifier = Annotated[
    _Classifier,
    BeforeValidator(spelt_out, json_schema_input_type=Literal["joint", "retrained", "tau_normalised"] | _Classifier),
]
