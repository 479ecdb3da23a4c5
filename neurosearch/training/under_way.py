"""An epoch under way: what its begin leaves for its steps, and the steps for its end."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from neurosearch.training.seams import Batch, Task


@dataclass(frozen=True)
class EpochUnderWay:
    """One epoch between its begin and its end.

    Attributes:
        epoch: Its number, counted from 0.
        started: When it began, in seconds of the performance counter.
        first_step: Optimizer updates done before it.
        num_before: Examples trained on before it.
        task: What is learned in it.
        batches: What it is learned from; taken once.
        seed: What dropout is drawn from.
        is_late: Whether the task is another one than at the start.
    """

    epoch: int
    started: float
    first_step: int
    num_before: int
    task: Task
    batches: Iterator[Batch]
    seed: int
    is_late: bool


def loss_sums(task_losses: list[Tensor], size_losses: list[Tensor]) -> Tensor:
    """Return the sum of each, float64 `(2,)`; no size loss counts as 0."""
    task = torch.stack(task_losses).sum(dtype=torch.float64)
    size = torch.stack(size_losses).sum(dtype=torch.float64) if size_losses else torch.zeros_like(task)
    return torch.stack([task, size])
