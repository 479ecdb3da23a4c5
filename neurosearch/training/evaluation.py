"""Scores a network on the validation part and fetches everything an epoch has summed, waiting for the device once."""

import torch
from torch import Tensor

from neurosearch.training.network import Forward
from neurosearch.training.seams import Batches, Task


def evaluate(forward: Forward, batches: Batches, task: Task, sums: Tensor) -> tuple[dict[str, float], list[float]]:
    """Return the task's scores on the validation part, and `sums` as numbers.

    Args:
        forward: A forward pass in evaluation mode.
        batches: Where the validation part comes from.
        task: What is scored.
        sums: Any flat float64 tensor on the device, fetched along with the scores.
    """
    tally = task.tally()
    with torch.inference_mode():
        for inputs, targets in batches.validation():
            tally.add(forward(inputs), targets)
        fetched = torch.cat([sums, tally.sums()]).tolist()
    return tally.metrics(fetched[len(sums) :]), fetched[: len(sums)]
