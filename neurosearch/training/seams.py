"""What the trainer needs from others: small protocols, kept here with their consumer.

A network's data comes as `Batches`, what is to be learned as a `Task`, who grows and prunes as a `GrowthPolicy`, and
where states are kept as a `CheckpointStore`. Fakes that live in the package: `MemoryCheckpointStore`, `StaticPolicy`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.neurons import Units

Batch = tuple[Tensor, Tensor]


class Batches(Protocol):
    """The training and the validation part, on the training's device, already normalised."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches that `train` yields."""

    @property
    def class_counts(self) -> Sequence[int]:
        """Training examples of each class, in class order; empty when the targets are not classes."""

    def train(self, epoch: int) -> Iterator[Batch]:
        """Yield as many examples as the training part has, drawn by the seed and `epoch` alone.

        Each item is `(inputs, targets)`, inputs float `(batch, ...)`, augmented or mixed if the training asks for it.
        No batch holds a lone example: batch normalisation cannot train on one, so a lone last example goes into the
        batch before it.
        """

    def train_as_is(self) -> Iterator[Batch]:
        """Yield the training part once, in a fixed order, neither augmented nor mixed, in large batches."""

    def validation(self) -> Iterator[Batch]:
        """Yield the validation part once, in a fixed order, in batches as large as memory allows."""

    def balanced(self, per_class: int, seed: int) -> list[Batch]:
        """Return training examples with `per_class` of each class (all of a smaller one), drawn by `seed` alone.

        Where the targets are not classes: `per_class` examples in all.
        """


class Tally(Protocol):
    """Sums over a validation pass that stay on the device until the pass is over."""

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add one batch, without waiting for the device."""

    def sums(self) -> Tensor:
        """Return everything added so far as one flat float64 tensor."""

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Turn `sums`, fetched from the device, into metrics under the names of `neurosearch.names`."""


class Task(Protocol):
    """What is to be learned."""

    @property
    def loss_name(self) -> str:
        """What the loss is called in messages."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what the loss needs, such as class weights, to the network's device and type."""

    def during(self, epoch: int, epochs: int) -> "Task":
        """Return the task as it is in an epoch, counted from 0, of a training of so many; it depends on these alone.

        Asked before each epoch and before neurons are measured, so it must cost next to nothing.
        """

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar that gradients flow through."""

    def weight(self, targets: Tensor) -> Tensor:
        """Return what these examples count for in the mean that `loss` is, a scalar: their number, or their weights."""

    def tally(self) -> Tally:
        """Return empty sums for one validation pass."""

    def finish(self, model: nn.Module, example: Tensor) -> None:
        """Change the trained network, in place and once, so that its outputs are what the tallies have scored.

        Args:
            model: The network, its size final.
            example: One input, `(1, ...)`, on its device.
        """


class GrowthPolicy(Protocol):
    """Decides which neurons come and go. Group names are whatever `neurons.find_units` gives."""

    def attach(self, units: Units, device: torch.device, dtype: torch.dtype, generator: torch.Generator) -> None:
        """Learn the groups of the configured network; called once, before anything else.

        Args:
            units: The configured network's neurons.
            device: Where the network's weights live.
            dtype: Their type.
            generator: Draws what the policy itself starts at random; on the CPU, seeded by the trial's seed.

        Raises:
            SurgeryError: If the policy can do nothing with such a network.
        """

    def largest_sizes(self) -> Mapping[str, int]:
        """Return the most neurons of each group whose neurons come back as they went; the rest come anew."""

    def due(self, clock: Clock) -> Need | None:
        """Say whether a decision is due, and what it needs.

        Asked before the first step and after every step, so it must cost next to nothing and never wait for the device.
        """

    def decide(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the changes to make now, applied in order; the same snapshot and state give the same decisions."""

    def finish_need(self) -> Need | None:
        """Say what `finish` needs, or None when nothing is left to do after the last step."""

    def finish(self, snapshot: Snapshot) -> tuple[Decision, ...]:
        """Return the changes after the last step that leave a plain network of its final size."""

    def trained(self) -> list[nn.Parameter]:
        """Return the size weights, which get an optimizer group of their own; empty when sizes are not trained."""

    def optimizer_settings(self) -> dict[str, float]:
        """Return the options of that group, such as `{"lr": 0.01, "weight_decay": 0.0}`."""

    def columns(self) -> list[nn.Parameter]:
        """Return what else the policy trains, with the network's own optimizer options; empty when there is nothing."""

    def gates(self, units: Units) -> dict[str, Tensor]:
        """Return one gate `(size,)` per gated group, differentiable in the size weights; empty when there are none."""

    def shifts(self, units: Units) -> dict[str, Tensor]:
        """Return what is added to what each neuron sums up, `(size,)` per group; differentiable, empty for nothing."""

    def size_loss(self) -> Tensor | None:
        """Return the loss on the sizes, a scalar; None when sizes are not trained."""

    def at_rest(self, units: Units, base_sizes: Mapping[str, int]) -> bool:
        """Say whether the network has a size it could be judged at: its base size, or a trained size that settled."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must live on in a checkpoint: plain numbers, texts, lists, dicts and tensors."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; `attach` was called before."""


class CheckpointStore(Protocol):
    """Keeps the last states of one training."""

    def save(self, epoch: int, payload: dict[str, Any]) -> None:
        """Keep `payload`, the state after `epoch` whole epochs; a crash at any moment leaves the states before it."""

    def load_newest(self) -> dict[str, Any] | None:
        """Return the newest undamaged state, or None; a damaged one is passed over with a warning that names it."""
