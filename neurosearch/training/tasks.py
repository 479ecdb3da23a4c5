"""What is to be learned: the loss of a step and the scores of an epoch, together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurosearch.models.head import output_bias
from neurosearch.training.losses import ClassLoss, RegressionLoss, RegressionLossKind, log_shares
from neurosearch.training.metrics import ClassificationTally
from neurosearch.training.target_metrics import RegressionTally


class Classification:
    """Learn one of several classes; a `training.seams.Task`."""

    def __init__(
        self,
        loss: ClassLoss,
        class_counts: Sequence[int],
        class_names: Sequence[str],
        *,
        late_loss: ClassLoss | None = None,
        late_share: float = 0.0,
        posthoc_tau: float = 0.0,
    ) -> None:
        """Take the loss and the classes.

        Args:
            loss: Of a batch.
            class_counts: Training examples of each class, none of them 0.
            class_names: Names of the classes.
            late_loss: What takes its place in the last epochs (deferred re-weighting: the same loss with class weights,
                arXiv:1906.07413, algorithm 1); None for nothing.
            late_share: Share of the epochs that end the training with it, rounded to whole epochs, at least one.
            posthoc_tau: Scores and the final network are those of z - tau log pi (arXiv:2007.07314, eq. 9); 0 for z.
        """
        assert len(class_counts) == len(class_names)
        self._class_counts = tuple(class_counts)
        self._class_names = tuple(class_names)
        self._loss = loss
        self._late_share = late_share
        self._late: Classification | None = None
        self._shifts = posthoc_tau * log_shares(class_counts) if posthoc_tau else None
        self.loss_name: str = loss.name
        if late_loss is not None:
            self._late = Classification(late_loss, class_counts, class_names, posthoc_tau=posthoc_tau)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what stands for each class to the network's device and type."""
        self._loss.to(device, dtype)
        if self._shifts is not None:
            self._shifts = self._shifts.to(device, dtype)
        if self._late is not None:
            self._late.to(device, dtype)

    def during(self, epoch: int, epochs: int) -> "Classification":
        """Return the task as it is in one of the epochs."""
        if self._late is None:
            return self
        num_late = max(1, round(self._late_share * epochs))
        return self if epoch < epochs - num_late else self._late

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits `(b, c)` for labels `(b,)`."""
        return self._loss(outputs, targets)

    def weight(self, targets: Tensor) -> Tensor:
        """Return the sum of the class weights of labels `(b,)`; their number where the mean is over examples."""
        return self._loss.weight(targets)

    def tally(self) -> ClassificationTally:
        """Return empty sums for one validation pass."""
        return ClassificationTally(self._class_counts, self._class_names, self._shifts)

    def finish(self, model: nn.Module, example: Tensor) -> None:
        """Subtract tau log pi from the bias of the network's outputs, so that they are what was scored."""
        if self._shifts is not None:
            with torch.no_grad():
                output_bias(model, example).sub_(self._shifts)


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

    def during(self, epoch: int, epochs: int) -> "Regression":  # noqa: ARG002  the seam's signature
        """Return the task itself: it is the same in every epoch."""
        return self

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs for standardised targets, both `(b, t)`."""
        loss: Tensor = self._loss(outputs, targets)
        return loss

    def weight(self, targets: Tensor) -> Tensor:
        """Return the number of examples of targets `(b, t)`."""
        return targets.new_full((), len(targets), dtype=torch.float32)  # made where it is: nothing waits for the device

    def tally(self) -> RegressionTally:
        """Return empty sums for one validation pass."""
        return RegressionTally(self._target_names, self._deviations)

    def finish(self, model: nn.Module, example: Tensor) -> None:
        """Do nothing: the outputs are what was scored."""
