"""Mixed examples: an input that lies between two of a batch, and the two labels it has.

`MixedBatches` stands before a training's batches and `MixedTask` before its task, so the trainer and every loss see
what they always see. Between the two, the targets of a mixed batch are one float tensor `(b, 3)`: first label, second
label, and the share of the loss that goes to the first, the same in all rows.

Shape letters: b batch, c classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neurosearch.randomness import derive_seed
from neurosearch.training.seams import Batch, Batches, Tally, Task


@dataclass(frozen=True)
class Mixup:
    """Two examples share label and input alike (arXiv:1710.09412).

    Attributes:
        alpha: Of the symmetric beta distribution that the share of the first example is drawn from, once for a batch.
    """

    alpha: float


@dataclass(frozen=True)
class Remix:
    """Mixup whose label goes to the rarer class where two classes differ much in size (arXiv:2007.03943, eq. 5).

    With n_i and n_j the training examples of the two classes and l the share of the first input, the share of the first
    label is 0 where n_i / n_j >= kappa and l < tau, else 1 where n_i / n_j <= 1 / kappa and 1 - l < tau, and l
    elsewhere.

    Attributes:
        alpha: As for mixup.
        kappa: How many times as many examples the larger class has, at least 1.
        tau: Below which share of the input the larger class loses its label, in [0, 1].
    """

    alpha: float
    kappa: float
    tau: float


Mixing = Mixup | Remix


class MixedBatches:
    """Batches whose training examples are mixed with others of their batch; a `training.seams.Batches`."""

    def __init__(self, batches: Batches, mixing: Mixing, seed: int, device: torch.device) -> None:
        """Take what is mixed, how, the trial's seed, and where the batches are."""
        self._batches = batches
        self._mixing = mixing
        self._seed = seed
        self._device = device
        self._counts = torch.tensor(batches.class_counts, dtype=torch.float32, device=device)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches that `train` yields."""
        return self._batches.steps_per_epoch

    @property
    def class_counts(self) -> Sequence[int]:
        """Return the training examples of each class."""
        return self._batches.class_counts

    def train(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, mixed: inputs `(b, ...)` and targets `(b, 3)`.

        Shares and pairs are drawn on the CPU by the seed and `epoch`, so they are the same on every device.
        """
        seed = derive_seed(self._seed, "mixing", epoch)
        alpha = self._mixing.alpha
        # In float32, as the targets hold them: inputs and labels are then mixed by the same number.
        shares = np.random.default_rng(seed).beta(alpha, alpha, self.steps_per_epoch).astype(np.float32).tolist()
        generator = torch.Generator().manual_seed(seed)
        for share, (inputs, labels) in zip(shares, self._batches.train(epoch), strict=True):
            partners = self._sent(torch.randperm(labels.size(0), generator=generator))
            mixed = torch.lerp(inputs.index_select(0, partners), inputs, share)
            yield mixed, self._targets(labels, labels.index_select(0, partners), share)

    def train_as_is(self) -> Iterator[Batch]:
        """Yield the training part once, not mixed."""
        return self._batches.train_as_is()

    def validation(self) -> Iterator[Batch]:
        """Yield the validation part once."""
        return self._batches.validation()

    def balanced(self, per_class: int, seed: int) -> list[Batch]:
        """Return training examples with `per_class` of each class, not mixed."""
        return self._batches.balanced(per_class, seed)

    def _sent(self, partners: Tensor) -> Tensor:
        """Return positions on the device, without waiting for it."""
        if self._device.type == "cpu":
            return partners
        return partners.pin_memory().to(self._device, non_blocking=True)

    def _targets(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """Return the targets `(b, 3)` of a batch whose inputs have this share of their first example."""
        if isinstance(self._mixing, Remix):
            first, second = self._with_rarer_labels(first, second, share, self._mixing)
        kept = torch.full_like(first, share, dtype=torch.float32)
        return torch.stack([first.to(kept.dtype), second.to(kept.dtype), kept], dim=1)

    def _with_rarer_labels(self, first: Tensor, second: Tensor, share: float, remix: Remix) -> tuple[Tensor, Tensor]:
        """Return the labels, both the rarer one where it takes all: one share then serves the whole batch."""
        ratio = self._counts[first] / self._counts[second]
        to_second = (ratio >= remix.kappa) & (share < remix.tau)
        # With kappa 1 both hold for classes of one size; the first case of the paper's equation counts.
        to_first = (ratio <= 1 / remix.kappa) & (1 - share < remix.tau) & ~to_second
        return torch.where(to_second, second, first), torch.where(to_first, first, second)


class MixedTask:
    """A task of which labels may come mixed; a `training.seams.Task`.

    The loss of a mixed batch is l L(first labels) + (1 - l) L(second labels) for any loss L over labels, as in the
    public code of mixup. Where classes have weights, each of the two counts for the sum of its labels' weights, too: in
    mixup both sums are the same, since the second labels are the first ones in another order.
    """

    def __init__(self, task: Task) -> None:
        """Take the task itself."""
        self._task = task
        self.loss_name = task.loss_name

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what the loss needs."""
        self._task.to(device, dtype)

    def during(self, epoch: int, epochs: int) -> "MixedTask":
        """Return the task as it is in an epoch."""
        task = self._task.during(epoch, epochs)
        return self if task is self._task else MixedTask(task)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss for labels `(b,)`, or for mixed ones `(b, 3)`."""
        if targets.ndim == 1:
            return self._task.loss(outputs, targets)
        first, second, share = _parts(targets)
        of_first, of_second = self._task.loss(outputs, first), self._task.loss(outputs, second)
        weight_of_first, weight_of_second = self._weights(first, second, share.to(of_first.dtype))
        return torch.lerp(of_second, of_first, weight_of_first / (weight_of_first + weight_of_second))

    def weight(self, targets: Tensor) -> Tensor:
        """Return what labels `(b,)` or mixed ones `(b, 3)` count for in the mean."""
        if targets.ndim == 1:
            return self._task.weight(targets)
        return torch.stack(self._weights(*_parts(targets))).sum()

    def tally(self) -> Tally:
        """Return empty sums for one validation pass, which is never mixed."""
        return self._task.tally()

    def finish(self, model: nn.Module, example: Tensor) -> None:
        """Make the network's outputs what was scored."""
        self._task.finish(model, example)

    def _weights(self, first: Tensor, second: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return what first and second labels count for, in the type of the share."""
        of_first, of_second = self._task.weight(first).to(share.dtype), self._task.weight(second).to(share.dtype)
        return share * of_first, (1 - share) * of_second


def _parts(targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return first labels `(b,)`, second labels `(b,)` and the share of the first, a scalar."""
    labels = targets[:, :2].long()
    return labels[:, 0], labels[:, 1], targets[0, 2]
