"""What is to be learned: the loss of a step and the scores of an epoch, together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurosearch.training.losses import ClassBalanced, LossKind, RegressionLoss, RegressionLossKind, make_loss
from neurosearch.training.metrics import ClassificationTally
from neurosearch.training.target_metrics import RegressionTally


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


class Regression:
    """Learn one or several quantities from their standardised values; a `training.seams.Task`."""

    def __init__(self, loss: RegressionLossKind, target_names: Sequence[str], deviations: Sequence[float]) -> None:
        """Take the loss's name, the targets' names, and what one standardised unit of each is in the user's units."""
        assert len(target_names) == len(deviations)
        self._target_names = tuple(target_names)
        self._deviations = tuple(deviations)
        self._loss = RegressionLoss(loss)
        self.loss_name: str = loss

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Do nothing: the loss holds no tensors."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs for standardised targets, both `(b, t)`."""
        loss: Tensor = self._loss(outputs, targets)
        return loss

    def weight(self, targets: Tensor) -> Tensor:
        """Return the number of examples of targets `(b, t)`."""
        return torch.tensor(float(len(targets)), device=targets.device)

    def tally(self) -> RegressionTally:
        """Return empty sums for one validation pass."""
        return RegressionTally(self._target_names, self._deviations)
