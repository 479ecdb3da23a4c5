"""Scores the neurons that a policy asks about, on class-balanced training examples."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neurosearch.growth.policy import Need
from neurosearch.neurons import Units, importance
from neurosearch.randomness import derive_seed
from neurosearch.training.seams import Batch, Batches, Task

Scores = Mapping[str, Tensor]


def score(
    need: Need, model: nn.Module, units: Units, batches: Batches, task: Task, examples_per_class: int, seed: int
) -> tuple[Scores | None, Scores | None, int]:
    """Score every neuron as a policy needs it.

    Args:
        need: What is needed.
        model: The network; unchanged.
        units: Its neurons.
        batches: Where the examples come from.
        task: Whose loss the scores are about.
        examples_per_class: Examples of each class to score on.
        seed: Decides which examples those are, and random scores.

    Returns:
        The scores for all classes, those for the head classes (each None unless needed), and the number of examples
        that went through the network.
    """
    if need.scores is None:
        return None, None, 0
    examples = batches.balanced(examples_per_class, derive_seed(seed, "examples"))
    scores = _importance(need.scores, model, units, examples, batches, task, seed)
    if not need.head_scores:
        return scores, None, _count(examples)
    head = only_classes(examples, head_classes(batches.class_counts))
    head_scores = _importance(need.scores, model, units, head, batches, task, seed)
    return scores, head_scores, _count(examples) + _count(head)


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
