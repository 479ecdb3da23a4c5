"""Losses for classification, plain and made for imbalanced classes, and losses for regression.

Shape letters: b batch, c classes, t targets. The first take logits `(b, c)` and labels `(b,)`, those for regression
outputs and standardised targets `(b, t)`; all return the scalar mean. Per-class vectors `(c,)` stand in a buffer in
float64 until it is moved to the network's device and type, so that no step converts them.
"""

from collections.abc import Callable, Sequence
from typing import Literal, assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LossKind = Literal["cross_entropy", "class_balanced", "balanced_softmax"]
RegressionLossKind = Literal["mse", "mae", "huber"]

_BETA = 0.9999  # the value the paper uses for long-tailed CIFAR


def class_balanced_weights(class_counts: Sequence[int], beta: float = _BETA) -> Tensor:
    """Return one weight per class, float64 `(c,)`, that sums to the number of classes.

    w_c is proportional to (1 - beta) / (1 - beta^n_c), the inverse of the effective number of examples
    (arXiv:1901.05555, eq. 2 and section 4).
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    weights = (1 - beta) / (1 - beta**counts)
    return weights * (len(counts) / weights.sum())


class CrossEntropy(nn.Module):
    """Mean over the batch of -log softmax(z)_y."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return F.cross_entropy(logits, labels)


class ClassBalanced(nn.Module):
    """Cross-entropy weighted by `class_balanced_weights`, divided by the sum of the batch's weights.

    The divisor is PyTorch's, as in the public long-tail code (LDAM-DRW); the TensorFlow original of arXiv:1901.05555
    divides by the batch size, which gives other gradients.
    """

    weights: Tensor

    def __init__(self, class_counts: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("weights", class_balanced_weights(class_counts))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return F.cross_entropy(logits, labels, weight=self.weights)


class BalancedSoftmax(nn.Module):
    """Cross-entropy of z + log pi, where pi_c = n_c / sum of n (arXiv:2007.10740, eq. 4)."""

    log_shares: Tensor

    def __init__(self, class_counts: Sequence[int]) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("log_shares", (counts / counts.sum()).log())

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        return F.cross_entropy(logits + self.log_shares, labels)


def make_loss(kind: LossKind, class_counts: Sequence[int]) -> nn.Module:
    """Build the loss of a name.

    Args:
        kind: Name of the loss.
        class_counts: Training examples of each class, none of them 0.
    """
    match kind:
        case "cross_entropy":
            return CrossEntropy()
        case "class_balanced":
            return ClassBalanced(class_counts)
        case "balanced_softmax":
            return BalancedSoftmax(class_counts)
        case _:
            assert_never(kind)


_REGRESSION_LOSSES: dict[RegressionLossKind, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}


class RegressionLoss(nn.Module):
    """Mean over batch and targets of the squared error, the absolute one, or Huber's, in standardised units.

    Huber's loss turns from squared to absolute where the error exceeds one standard deviation of the target (Huber
    1964, doi:10.1214/aoms/1177703732, with delta 1).
    """

    def __init__(self, kind: RegressionLossKind) -> None:
        super().__init__()
        self._loss = _REGRESSION_LOSSES[kind]

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar loss; outputs in bfloat16 are compared in the targets' type."""
        return self._loss(outputs.to(targets.dtype), targets)
