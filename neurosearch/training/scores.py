"""Measures what a policy asks about: scores, directions of new neurons, demand, near-duplicates.

All but the near-duplicates, which the weights alone tell, on class-balanced training examples.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurosearch.growth.policy import Need
from neurosearch.neurons import (
    Directions,
    SurgeryError,
    Twins,
    Units,
    explained_shares,
    gradmax_directions,
    growth_refusals,
    importance,
    near_duplicates,
)
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
        demand: The tail classes' share of the gradient that reaches each group.
        explained: How much of the loss's slope new neurons could explain, for the groups that can be asked.
        twins: Near-duplicates, for the groups whose neurons can be merged.
        num_examples: Examples that went forward and backward through the network for it.
    """

    scores: Scores | None
    head_scores: Scores | None
    directions: Mapping[str, Directions] | None
    demand: Mapping[str, float] | None
    explained: Mapping[str, float] | None
    twins: Mapping[str, Twins] | None
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
    twins = near_duplicates(model, units, need.twins) if need.twins else None
    if need.scores is None and need.directions is None and not need.demand and need.explained is None:
        return Measured(None, None, None, None, None, twins, 0)
    examples = batches.balanced(examples_per_class, derive_seed(seed, "examples"))
    head = only_classes(examples, head_classes(batches.class_counts)) if need.head_scores else []
    scores = head_scores = directions = demand = None
    if need.scores is not None:
        with _refusing(f"growth.importance: {need.scores}"):
            scores = _importance(need.scores, model, units, examples, batches, task, seed)
            head_scores = _importance(need.scores, model, units, head, batches, task, seed) if head else None
    if need.directions is not None:
        with _refusing("growth.start: gradmax"):
            refused = growth_refusals(units, "gradmax")
            wanted = {name: count for name, count in need.directions.items() if name not in refused}
            directions = gradmax_directions(model, units, examples, wanted, loss=task.loss)
    if need.demand:
        demand = _demand(model, units, examples, batches, task, seed)
    explained = None if need.explained is None else _explained(model, units, examples, need.explained, task)
    num_scored = _count(examples) + _count(head) if scores is not None else 0
    num_pointed = _STEPS_PER_DIRECTION * _count(examples) if directions is not None else 0
    num_demanding = _count(examples) if demand is not None else 0
    num_explaining = _STEPS_PER_DIRECTION * _count(examples) * len(explained or ())  # a pass for each group
    num_examples = num_scored + num_pointed + num_demanding + num_explaining
    return Measured(scores, head_scores, directions, demand, explained, twins, num_examples)


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


def tail_classes(class_counts: Sequence[int]) -> list[int]:
    """Return the third of the classes with the fewest training examples, rounded up; the later class wins a tie."""
    by_count = sorted(range(len(class_counts)), key=lambda label: (class_counts[label], -label))
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


def _explained(
    model: nn.Module, units: Units, examples: Sequence[Batch], counts: Mapping[str, int], task: Task
) -> dict[str, float]:
    """Return what new neurons could explain in each group that can be asked.

    Raises:
        TrialFailed: None can: it needs one plain layer that makes the group's neurons, and one that uses them.
    """
    refused, last = growth_refusals(units, "gradmax"), "no group can grow."
    found: dict[str, float] = {}
    for name, count in counts.items():
        if name not in refused:
            try:
                found |= explained_shares(model, units, examples, {name: count}, loss=task.loss)
            except SurgeryError as error:
                last = str(error)
    if not found:
        raise TrialFailed(f"growth.explained_share does not fit this network: {last} Or set explained_share to 0.")
    return found


def _demand(
    model: nn.Module, units: Units, examples: Sequence[Batch], batches: Batches, task: Task, seed: int
) -> dict[str, float]:
    """Return the tail classes' share of the gradient that reaches each group.

    Our reading of arXiv:2507.09940, which adds neurons "selectively" for under-represented classes and does not say
    how: the norm of the gradient of the tail classes' mean loss by all weights of a group, as a share of the sum of
    this norm and that of the other classes.
    """
    tail = tail_classes(batches.class_counts)
    rest = [label for label in range(len(batches.class_counts)) if label not in tail]
    norms = []
    for classes in (tail, rest):
        chosen = only_classes(examples, classes)
        scores = _importance("gradient", model, units, chosen, batches, task, seed) if chosen else {}
        norms.append({name: float(score.double().square().sum().sqrt()) for name, score in scores.items()})
    of_tail, of_rest = norms
    shares = {}
    for group in units.groups:
        whole = of_tail.get(group.name, 0.0) + of_rest.get(group.name, 0.0)
        shares[group.name] = of_tail.get(group.name, 0.0) / whole if whole > 0 else 0.0
    return shares


def _count(examples: Sequence[Batch]) -> int:
    return sum(len(targets) for _, targets in examples)
