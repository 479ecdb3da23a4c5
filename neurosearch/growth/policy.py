"""The values that travel between a growth policy and the trainer.

A policy is asked after every optimizer step whether it is due; when it is, the trainer shows it a `Snapshot` and
applies the `Decision`s that come back. What a policy must offer is `training.seams.GrowthPolicy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from neurosearch.neurons import Directions, Plan, Twins, Units


class Clock(NamedTuple):
    """Where a training stands, between two steps.

    A named tuple and not a dataclass: one is made at every optimizer step, and a frozen dataclass costs four times as
    much to make.

    Attributes:
        step: Optimizer updates done.
        epoch: Whole epochs done.
        steps_per_epoch: Optimizer updates of one epoch.
        epochs: Epochs of the whole training.
    """

    step: int
    epoch: int
    steps_per_epoch: int
    epochs: int

    @property
    def epoch_ended(self) -> bool:
        """Whether no epoch is under way: before the first step, and after the last step of each epoch."""
        return self.step == self.epoch * self.steps_per_epoch


@dataclass(frozen=True)
class Need:
    """What a policy must be shown before it decides.

    Attributes:
        scores: Kind of importance to measure for every neuron (see `neurons.importance`), or None.
        head_scores: Whether the same importance is also wanted for the head classes alone.
        directions: How many new neurons of each group are to be told where to point (see
            `neurons.gradmax_directions`), by name; None if none are. A group that cannot grow gets none.
        demand: Whether the tail classes' share of the gradient that reaches each group is wanted.
        explained: How many new neurons of each group it is to be said of how much they could explain (see
            `neurons.explained_shares`), by name; None if of none.
        twins: Least likeness of the near-duplicates that are wanted (see `neurons.near_duplicates`); 0 if none are.
    """

    scores: str | None
    head_scores: bool
    directions: Mapping[str, int] | None
    demand: bool = False
    explained: Mapping[str, int] | None = None
    twins: float = 0.0


#: A look at the clock and the sizes is enough.
NOTHING = Need(scores=None, head_scores=False, directions=None)


@dataclass(frozen=True)
class Snapshot:
    """What a policy decides from.

    Attributes:
        clock: Where the training stands.
        units: The neurons as they are now.
        base_sizes: Neurons of each group in the network that was configured.
        scores: Importance of every neuron, one vector `(size,)` per group; None unless it was needed.
        head_scores: The same, for the classes with the most training examples alone.
        directions: Where new neurons should point, for those that it was asked for; None unless it was needed.
        generator: For random choices; seeded by the trial's seed and the step.
        demand: The tail classes' share of the gradient that reaches each group, in [0, 1]; None unless it was needed.
        explained: How much of the loss's slope new neurons could explain, for the groups that can be asked; None unless
            it was needed.
        twins: Near-duplicates, for the groups whose neurons can be merged; None unless it was needed.
    """

    clock: Clock
    units: Units
    base_sizes: Mapping[str, int]
    scores: Mapping[str, Tensor] | None
    head_scores: Mapping[str, Tensor] | None
    directions: Mapping[str, Directions] | None
    generator: torch.Generator
    demand: Mapping[str, float] | None = None
    explained: Mapping[str, float] | None = None
    twins: Mapping[str, Twins] | None = None


@dataclass(frozen=True)
class Decision:
    """One change of the network.

    Attributes:
        plan: Which neurons go and how many come.
        reason: Why, in a few words, for the record.
        fold: Gates, one vector `(size,)` per group, to multiply into the weights before the plan is applied; or None.
        counts: What is worth knowing about it, for the epoch's metrics, under the names of `neurosearch.names`.
        left_alone: Groups that should have changed and cannot, by name, and why in words.
        shift: As `fold`, what is to be added to what each neuron sums up.
        notes: What the record says of some groups' changes beside the reason, by name.
    """

    plan: Plan
    reason: str
    fold: Mapping[str, Tensor] | None
    counts: Mapping[str, float] = field(default_factory=dict)
    left_alone: Mapping[str, str] = field(default_factory=dict)
    shift: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
