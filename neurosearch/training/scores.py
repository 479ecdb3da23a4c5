"""Measures what a policy asks about, on class-balanced training examples: scores of neurons, directions of new ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosearch.growth.policy import Need
from neurosearch.neurons import Directions, SurgeryError, Units, gradmax_directions, importance
from neurosearch.randomness import derive_seed
from neurosearch.training.records import TrialFailed
from neurosearch.training.seams import Batch, Batches, Task

Scores = Mapping[str, Tensor]

#: One pass forward and backward, and products of the same layers with few vectors: as much as two passes, measured.
_STEPS_PER_DIRECTION = 2


@dataclass(frozen=True)
class Measured:
    """What a policy needs to know; each part is None unless it was needed.

    Attributes:
        scores: Importance of every neuron.
        head_scores: The same for the head classes alone.
        directions: Where new neurons should point.
        num_examples: Examples that went forward and backward through the network for it.
    """

    scores: Scores | None
    head_scores: Scores | None
    directions: Mapping[str, Directions] | None
    num_examples: int


def measure(
    need: Need, model: nn.Module, units: Units, batches: Batches, task: Task, examples_per_class: int, seed: int
) -> Measured:
    """Score every neuron, and find directions for new ones, as a policy needs it.

    Args:
        need: What is needed.
        model: The network; unchanged.
        units: Its neurons.
        batches: Where the examples come from.
        task: Whose loss the scores are about.
        examples_per_class: Examples of each class to score on.
        seed: Decides which examples those are, and random scores.

    Raises:
        TrialFailed: A group of neurons cannot be measured in the way that is needed.
    """
    if need.scores is None and need.directions is None:
        return Measured(None, None, None, 0)
    examples = batches.balanced(examples_per_class, derive_seed(seed, "examples"))
    head = only_classes(examples, head_classes(batches.class_counts)) if need.head_scores else []
    scores = head_scores = directions = None
    if need.scores is not None:
        with _refusing(f"growth.importance: {need.scores}"):
            scores = _importance(need.scores, model, units, examples, batches, task, seed)
            head_scores = _importance(need.scores, model, units, head, batches, task, seed) if head else None
    if need.directions is not None:
        with _refusing("growth.start: gradmax"):
            directions = gradmax_directions(model, units, examples, need.directions, loss=task.loss)
    num_scored = _count(examples) + _count(head) if scores is not None else 0
    num_pointed = _STEPS_PER_DIRECTION * _count(examples) if directions is not None else 0
    return Measured(scores, head_scores, directions, num_scored + num_pointed)


@contextmanager
def _refusing(choice: str) -> Iterator[None]:
    """End the trial where the network cannot do what the config has chosen."""
    try:
        yield
    except SurgeryError as error:
        raise TrialFailed(f"{choice} does not fit this network: {error}") from error


def head_classes(class_counts: Sequence[int]) -> list[int]:
    """Return the third of the classes with the most training examples, rounded up; the earlier class wins a tie."""
    by_count = sorted(range(len(class_counts)), key=lambda label: -class_counts[label])
    return sorted(by_count[: -(-len(class_counts) // 3)])


def only_classes(examples: Sequence[Batch], classes: Sequence[int]) -> list[Batch]:
    """Return the examples of some classes, in the same batches; a batch without any is left out."""
    kept = []
    for inputs, targets in examples:
        chosen = torch.isin(targets, torch.tensor(classes, device=targets.device)).nonzero().flatten()
        if len(chosen):
            kept.append((inputs[chosen], targets[chosen]))
    return kept


def _importance(
    kind: str, model: nn.Module, units: Units, examples: Sequence[Batch], batches: Batches, task: Task, seed: int
) -> Scores:
    return importance(
        model,
        units,
        examples,
        kind=kind,
        class_counts=batches.class_counts,
        loss=task.loss,
        generator=torch.Generator().manual_seed(derive_seed(seed, "scores")),
    )


def _count(examples: Sequence[Batch]) -> int:
    return sum(len(targets) for _, targets in examples)
