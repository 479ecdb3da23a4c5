"""Fields of the growth section: which neurons come and go, and when.

Sources: arXiv:2507.09940 (periodic; its criterion and schedule are not public, so every choice here is our reading) and
arXiv:2501.18012 (nimble; our per-neuron reading of its gate).
"""

from typing import Annotated, Literal

from pydantic import Field

from neurosearch.config.base import Count, Fields, NonNegativeFloat, Number, PositiveFloat, Share


class StaticFields(Fields):
    """No neuron comes or goes: the control."""

    kind: Literal["static"] = "static"


class PeriodicFields(Fields):
    """Grow and prune in cycles; the final widths equal the model's."""

    kind: Literal["periodic"] = "periodic"
    period_epochs: Count = Field(5, description="Epochs from one growth to the next")
    grown_epochs: Count = Field(3, description="Epochs trained between a cycle's growth and its pruning")
    grow_share: Annotated[Number, Field(gt=0.0, le=4.0)] = Field(
        0.5, description="Neurons added in each group, as a share of its base width, at least one"
    )
    stop_share: Annotated[Number, Field(gt=0.0, le=1.0)] = Field(
        0.7, description="Share of the epochs after which no cycle may be open"
    )
    start: Literal["zero_outgoing", "symmetric_pair", "shared_copy"] = Field(
        "zero_outgoing",
        description="How new neurons start; all keep the network's function (shared_copy: arXiv:1511.05641)",
    )
    importance: Literal["class_balanced_taylor", "taylor", "l2", "activation", "gradient", "random"] = Field(
        "class_balanced_taylor",
        description="Score by which neurons stay (taylor: arXiv:1906.10771, activation: arXiv:2302.12902, "
        "gradient: arXiv:2505.24061, random: the control)",
    )
    protected_share: Share = Field(
        0.0, description="Share of the base width, most important to the head classes, that is never pruned"
    )


class NimbleFields(Fields):
    """A trained weight holds each group's size, against a loss on the size; the final size is the trained one."""

    kind: Literal["nimble"] = "nimble"
    size_coefficient: NonNegativeFloat = Field(1.0, description="Multiplier of the size loss, mean squared share")
    target_share: PositiveFloat = Field(0.5, description="Size the loss pulls to, as a share of the model's width")
    start_share: PositiveFloat = Field(1.0, description="Size at the start, as a share of the model's width")
    maximum_share: PositiveFloat = Field(1.0, description="Largest size allowed, as a share of the model's width")
    gate_width: PositiveFloat = Field(1.0, description="Width of the gate's rise from 0 to 1, in neurons")
    learning_rate: PositiveFloat = Field(1e-2, description="Learning rate of the size weights")
    check_steps: Count = Field(10, description="Steps between two looks at whether a size has crossed a whole neuron")
