"""A training's batches, but only a few of each epoch, and how long each took: to try a training out and to time it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median
from time import perf_counter

import torch

from neurosearch.training.seams import Batch, Batches


class FewBatches:
    """The first steps of every epoch and the first batch of the validation part, timed; a `Batches`.

    Attributes:
        whole_steps: Steps of a whole epoch.
        seconds: Of each step of the epoch that was trained last: its batch, the step, and what follows a step.
        validation_seconds: Of the validation pass done last.
        num_validated: Examples of that pass.
    """

    def __init__(self, batches: Batches, most_steps: int, device: torch.device) -> None:
        """Takes the whole.

        Args:
            batches: All batches.
            most_steps: Steps of an epoch.
            device: Where they are; a GPU is waited for after each step, so its times are upper bounds.
        """
        self.whole_steps = batches.steps_per_epoch
        self.seconds: list[float] = []
        self.validation_seconds = 0.0
        self.num_validated = 0
        self._batches = batches
        self._steps = min(most_steps, batches.steps_per_epoch)
        self._is_gpu = device.type == "cuda"

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches that `train` yields."""
        return self._steps

    @property
    def class_counts(self) -> Sequence[int]:
        """Return the training examples of each class in the whole."""
        return self._batches.class_counts

    @property
    def step_seconds(self) -> float:
        """Return the seconds of a usual step; the first one does more, and so does one that changes the network."""
        return median(self.seconds[1:] or self.seconds)

    def train(self, epoch: int) -> Iterator[Batch]:
        """Yield the first batches of an epoch."""
        self.seconds = []
        before = self._now()
        for batch in islice(self._batches.train(epoch), self._steps):
            yield batch
            now = self._now()
            self.seconds.append(now - before)
            before = now

    def train_as_is(self) -> Iterator[Batch]:
        """Yield the first large batch of the training part."""
        return islice(self._batches.train_as_is(), 1)

    def validation(self) -> Iterator[Batch]:
        """Yield the first batch of the validation part."""
        before = self._now()
        for inputs, targets in islice(self._batches.validation(), 1):
            self.num_validated = targets.size(0)
            yield inputs, targets
        self.validation_seconds = self._now() - before

    def balanced(self, per_class: int, seed: int) -> list[Batch]:
        """Return training examples of the whole, as many of each class as asked for."""
        return self._batches.balanced(per_class, seed)

    def _now(self) -> float:
        if self._is_gpu:
            torch.cuda.synchronize()
        return perf_counter()
