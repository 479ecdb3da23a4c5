"""What is to be learned: the loss of a step and the scores of an epoch, together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurosearch.training.losses import ClassBalanced, LossKind, make_loss
from neurosearch.training.metrics import ClassificationTally


class Classification:
    """Learn one of several classes; a `training.seams.Task`."""

    def __init__(self, loss: LossKind, class_counts: Sequence[int], class_names: Sequence[str]) -> None:
        """Take the loss's name, the training examples of each class, and the names of the classes."""
        assert len(class_counts) == len(class_names)
        self._class_counts = tuple(class_counts)
        self._class_names = tuple(class_names)
        self._loss: nn.Module = make_loss(loss, class_counts)
        self.loss_name: str = loss

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the loss's class weights to the network's device and type."""
        self._loss.to(device, dtype)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits `(b, c)` for labels `(b,)`."""
        loss: Tensor = self._loss(outputs, targets)
        return loss

    def weight(self, targets: Tensor) -> Tensor:
        """Return the sum of the class weights of labels `(b,)`; their number where classes have no weights."""
        if isinstance(self._loss, ClassBalanced):
            return self._loss.weights[targets].sum()
        return torch.tensor(float(len(targets)), device=targets.device)

    def tally(self) -> ClassificationTally:
        """Return empty sums for one validation pass."""
        return ClassificationTally(self._class_counts, self._class_names)
