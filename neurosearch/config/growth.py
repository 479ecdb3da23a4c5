"""Fields of the growth section: which neurons come and go, and when.

Sources: arXiv:2507.09940 (periodic; its criterion and schedule are not public, so every choice here is our reading),
arXiv:2302.12902 and arXiv:2505.24061 (recycle), and arXiv:2501.18012 (nimble; our per-neuron
reading of its gate, or the public code's mask as it is). What else may be switched on names its source in its field.

Defaults and recommended ranges follow what small networks on long-tailed images showed: importance is the choice that
matters; a period of 2 to 5 epochs and a protected share up to 0.5 made no difference in short trainings, but in 200
epochs 28 cycles did harm, and 2 no more than longer training does; tail_demand and copies by themselves hurt.
"""

from itertools import accumulate
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Index, NonNegativeFloat, Number, PositiveFloat, Share

AddedShare = Annotated[Number, Field(gt=0.0, le=4.0)]
Start = Annotated[
    Literal["zero_outgoing", "symmetric_pair", "shared_copy", "noisy_copy", "gradmax"],
    Field(
        description="How new neurons start; all but noisy_copy keep the network's function (shared_copy and, with "
        "noise, noisy_copy: arXiv:1511.05641; gradmax: where the loss of class-balanced examples moves them most, "
        "arXiv:2201.05125, between two linear or convolution layers only)"
    ),
]
CopyNoise = Annotated[
    Number,
    Field(
        gt=0.0,
        le=1.0,
        description="For start noisy_copy: standard deviation of the noise on a copy's incoming weights, in units of "
        "their root mean square (arXiv:1511.05641)",
    ),
]
StopShare = Annotated[Number, Field(gt=0.0, le=1.0)]
Importance = Annotated[
    Literal["class_balanced_taylor", "taylor", "l2", "activation", "gradient", "random"],
    Field(
        description="Score by which neurons stay (taylor: arXiv:1906.10771, activation: arXiv:2302.12902, "
        "gradient: arXiv:2505.24061, random: the control)"
    ),
]
ProtectedShare = Annotated[
    Share, Field(description="Share of the base width, most important to the head classes, that is never pruned")
]
MergeThreshold = Annotated[
    Share,
    Field(
        description="From this likeness on, a pruned neuron's outgoing weights are added to those of a near-duplicate "
        "that stays, such as 0.95: the cosine of incoming weights and bias; 0: never (our reading of arXiv:2405.01041)"
    ),
]


class StaticFields(Fields):
    """No neuron comes or goes: the control."""

    kind: Literal["static"] = "static"


class PeriodicFields(Fields):
    """Grow and prune in cycles; the final widths equal the model's."""

    kind: Literal["periodic"] = "periodic"
    period_epochs: Count = Field(5, description="Epochs from one growth to the next")
    grown_epochs: Count = Field(3, description="Epochs trained between a cycle's growth and its pruning")
    grow_share: AddedShare = Field(
        0.5, description="Neurons added in each group, as a share of its base width, at least one"
    )
    groups: Literal["all", "tail_demand"] = Field(
        "all",
        description="Where neurons are added: in all groups alike, or as many in all, but more (up to twice) in groups "
        "in whose gradient the classes with the fewest examples have a larger share (our reading of arXiv:2507.09940)",
    )
    stop_share: StopShare = Field(0.7, description="Share of the epochs after which no cycle may be open")
    start: Start = "zero_outgoing"
    importance: Importance = "class_balanced_taylor"
    protected_share: ProtectedShare = 0.0
    explained_share: Share = Field(
        0.0,
        description="A cycle grows only if the best newcomers would explain at least this share of the loss's slope on "
        "class-balanced examples, about 1 / examples where it is noise; 0: always (our reading of arXiv:2301.05744)",
    )
    copy_noise: CopyNoise = 0.1
    merge_threshold: MergeThreshold = 0.0


class Event(Fields):
    """One growth or one pruning of every group."""

    epoch: Index = Field(description="Whole epochs trained before it; 0: before the first")
    add_share: AddedShare | None = Field(
        None, description="Neurons added in each group, as a share of its base width, such as 0.5"
    )
    remove_share: PositiveFloat | None = Field(
        None, description="Neurons removed from each group, as a share of its base width, such as 0.5"
    )

    @model_validator(mode="after")
    def _adds_or_removes(self) -> Self:
        if (self.add_share is None) == (self.remove_share is None):
            raise PydanticCustomError(
                "event", "an event adds or removes; write one of add_share and remove_share, such as add_share: 0.5"
            )
        return self

    @property
    def change(self) -> float:
        """The share that is added, or the negative of the share that is removed."""
        return self.add_share if self.add_share is not None else -(self.remove_share or 0.0)


class EventsFields(Fields):
    """Grow and prune at listed epochs; the final widths equal the model's."""

    kind: Literal["events"] = "events"
    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=1000)] = Field(
        description="What happens when, by ascending epochs, such as "
        "[{epoch: 2, add_share: 0.5}, {epoch: 6, remove_share: 0.5}]; all that is added must be removed"
    )
    start: Start = "zero_outgoing"
    importance: Importance = "class_balanced_taylor"
    protected_share: ProtectedShare = 0.0
    copy_noise: CopyNoise = 0.1
    merge_threshold: MergeThreshold = 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the base width that each event leads to, above it (or below it, if negative).

        To nine decimals: people's 0.1 + 0.2 - 0.3 is 0.
        """
        return tuple(round(share, 9) + 0.0 for share in accumulate(event.change for event in self.events))


class RecycleFields(Fields):
    """Dormant neurons begin anew in place; the widths are the model's at every moment."""

    kind: Literal["recycle"] = "recycle"
    period_epochs: Count = Field(2, description="Epochs from one look at the neurons to the next")
    measure: Literal["activation", "gradient"] = Field(
        "activation",
        description="What a neuron is dormant by: its mean activation (ReDo, arXiv:2302.12902) or the size of its "
        "gradient (GraMa, arXiv:2505.24061), on class-balanced training examples",
    )
    threshold: Annotated[Number, Field(ge=0.0, le=1.0)] = Field(
        0.1,
        description="A neuron is dormant whose measure is at most so many times its group's mean; 0: dead ones alone",
    )
    largest_share: Annotated[Number, Field(gt=0.0, le=1.0)] = Field(
        0.5,
        description="Largest share of a group that is recycled at once, the most dormant first; at least one neuron "
        "(symmetric_pair: two) may be",
    )
    stop_share: StopShare = Field(0.7, description="Share of the epochs after which no neuron is recycled")
    start: Annotated[
        Literal["zero_outgoing", "symmetric_pair", "shared_copy", "noisy_copy"],
        Field(description="How a recycled neuron begins; zero_outgoing, incoming weights drawn anew, is that of ReDo"),
    ] = "zero_outgoing"
    copy_noise: CopyNoise = 0.1


class WideThenPruneFields(Fields):
    """A wider network from the start, pruned once to the model's widths: the control for what capacity alone gives."""

    kind: Literal["wide_then_prune"] = "wide_then_prune"
    grow_share: AddedShare = Field(
        0.5, description="Additional neurons of each group, as a share of its base width, at least one"
    )
    prune_share: StopShare = Field(0.7, description="Share of the epochs after which the network is pruned")
    importance: Importance = "class_balanced_taylor"
    protected_share: ProtectedShare = 0.0
    merge_threshold: MergeThreshold = 0.0


GroupNames = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class NimbleFields(Fields):
    """A trained weight holds each group's size, against a loss on the size; the final size is the trained one."""

    kind: Literal["nimble"] = "nimble"
    control: Literal["per_neuron", "as_published"] = Field(
        "per_neuron",
        description="per_neuron: a gate on each neuron, moved by task and size loss, and neurons really come and go; "
        "as_published: the public code's one gain sin^2(pi c / 2) on a whole layer, whose control c follows the size "
        "loss alone and adds no neuron, for reproduction",
    )
    size_coefficient: NonNegativeFloat = Field(
        1.0, description="Multiplier of the size loss, the mean squared distance of sizes and target in size_unit"
    )
    target_share: PositiveFloat = Field(
        0.5, description="Size the loss pulls to, as a share of the model's width; as_published: 1, the only control"
    )
    start_share: NonNegativeFloat = Field(
        1.0, description="Size at the start, as a share of the model's width; as_published: the control c at the start"
    )
    maximum_share: PositiveFloat = Field(1.0, description="Largest size allowed, as a share of the model's width")
    gate_width: PositiveFloat = Field(1.0, description="Width of the gate's rise from 0 to 1, in neurons")
    size_unit: Literal["share", "neurons"] = Field(
        "share",
        description="What a size weight, its loss and its learning rate count: shares of the model's width, or neurons "
        "as published",
    )
    size_input: Annotated[bool, Field(strict=True)] = Field(
        False,
        description="Whether the size is an input of every neuron of its group, as published: size times a trained "
        "column of weights is added to what the neuron sums up, and ends in its bias",
    )
    column_scale: NonNegativeFloat = Field(
        0.2, description="With size_input: the column's weights start uniform between this and its negative"
    )
    sharing: Literal["each", "all"] | Annotated[tuple[GroupNames, ...], Field(min_length=1)] = Field(
        "each",
        description="Which groups of neurons share a size weight: each has its own, one for all, or sets of groups by "
        "name, such as [[layers.1, layers.3]]; groups in no set have their own",
    )
    learning_rate: PositiveFloat = Field(1e-2, description="Learning rate of the size weights")
    check_steps: Count = Field(10, description="Steps between two looks at whether a size has crossed a whole neuron")
